using System.Buffers.Binary;
using System.Numerics;

namespace Apvirt.Ap.Hardware;

/// <summary>What a request asks for.</summary>
public enum ClearKeyFunction : ushort
{
    /// <summary>Send the operand back.</summary>
    Echo = 1,
    /// <summary>Modular exponentiation with a clear key: base, exponent and modulus, big-endian.</summary>
    ModularExponentiation = 2,
}

/// <summary>How a request ended.</summary>
public enum ClearKeyResult : ushort
{
    /// <summary>Done.</summary>
    Ok = 0,
    /// <summary>The message is no request of this format.</summary>
    MalformedMessage = 1,
    /// <summary>The modulus is zero, or the base is not below it.</summary>
    OperandOutOfRange = 2,
}

/// <summary>
/// The messages of the simulated data plane, in a format of its own (not the adapter firmware's): function, number of
/// operands, then each operand as a 16-bit length and that many bytes, all big-endian. A reply carries a result instead
/// of the function.
/// </summary>
public static class ClearKeyMessage
{
    private const int HeaderBytes = 4;

    /// <summary>Puts a request or reply together.</summary>
    /// <param name="code">Function or result.</param>
    /// <param name="operands">The operands, each below 65,536 bytes.</param>
    public static byte[] Encode(ushort code, params ReadOnlySpan<byte[]> operands)
    {
        int length = HeaderBytes;
        foreach (byte[] operand in operands)
            length += 2 + operand.Length;
        byte[] message = new byte[length];
        BinaryPrimitives.WriteUInt16BigEndian(message, code);
        BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(2), (ushort)operands.Length);
        int at = HeaderBytes;
        foreach (byte[] operand in operands)
        {
            BinaryPrimitives.WriteUInt16BigEndian(message.AsSpan(at), (ushort)operand.Length);
            operand.CopyTo(message, at + 2);
            at += 2 + operand.Length;
        }
        return message;
    }

    /// <summary>Takes a request or reply apart.</summary>
    /// <param name="message">The message.</param>
    /// <param name="code">Function or result.</param>
    /// <param name="operands">The operands.</param>
    /// <returns>False if the message is not of this format.</returns>
    public static bool TryDecode(ReadOnlySpan<byte> message, out ushort code, out byte[][] operands)
    {
        code = 0;
        operands = [];
        if (message.Length < HeaderBytes)
            return false;
        code = BinaryPrimitives.ReadUInt16BigEndian(message);
        operands = new byte[BinaryPrimitives.ReadUInt16BigEndian(message[2..])][];
        message = message[HeaderBytes..];
        for (int i = 0; i < operands.Length; i++)
        {
            if (message.Length < 2 || message.Length < 2 + BinaryPrimitives.ReadUInt16BigEndian(message))
                return false;
            int length = BinaryPrimitives.ReadUInt16BigEndian(message);
            operands[i] = message.Slice(2, length).ToArray();
            message = message[(2 + length)..];
        }
        return message.IsEmpty;
    }

    /// <summary>A request for base^exponent mod modulus.</summary>
    /// <param name="value">The base, below the modulus.</param>
    /// <param name="exponent">The exponent.</param>
    /// <param name="modulus">The modulus.</param>
    public static byte[] ModularExponentiation(BigInteger value, BigInteger exponent, BigInteger modulus) =>
        Encode(
            (ushort)ClearKeyFunction.ModularExponentiation,
            value.ToByteArray(isUnsigned: true, isBigEndian: true),
            exponent.ToByteArray(isUnsigned: true, isBigEndian: true),
            modulus.ToByteArray(isUnsigned: true, isBigEndian: true));
}

/// <summary>What an adapter does with a request.</summary>
internal static class ClearKeyProcessor
{
    internal static byte[] Execute(ReadOnlySpan<byte> request)
    {
        if (!ClearKeyMessage.TryDecode(request, out ushort code, out byte[][] operands))
            return Refuse(ClearKeyResult.MalformedMessage);
        return (ClearKeyFunction)code switch
        {
            ClearKeyFunction.Echo => ClearKeyMessage.Encode((ushort)ClearKeyResult.Ok, operands),
            ClearKeyFunction.ModularExponentiation when operands.Length == 3 => Exponentiate(operands),
            _ => Refuse(ClearKeyResult.MalformedMessage),
        };
    }

    private static byte[] Exponentiate(byte[][] operands)
    {
        BigInteger value = new(operands[0], isUnsigned: true, isBigEndian: true);
        BigInteger exponent = new(operands[1], isUnsigned: true, isBigEndian: true);
        BigInteger modulus = new(operands[2], isUnsigned: true, isBigEndian: true);
        if (modulus.IsZero || value >= modulus)
            return Refuse(ClearKeyResult.OperandOutOfRange);
        byte[] result = new byte[operands[2].Length];
        byte[] digits = BigInteger.ModPow(value, exponent, modulus).ToByteArray(isUnsigned: true, isBigEndian: true);
        digits.CopyTo(result, result.Length - digits.Length);
        return ClearKeyMessage.Encode((ushort)ClearKeyResult.Ok, result);
    }

    private static byte[] Refuse(ClearKeyResult result) => ClearKeyMessage.Encode((ushort)result);
}
