using System.Numerics;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Ap.Tests.Hardware;

/// <summary>NQAP and DQAP (ap-bus.md §11) with the messages of the simulated data plane.</summary>
public sealed class DataPlaneTests
{
    private const int Depth = 3;
    private static readonly Apqn Queue = Apqn.Of(1, 4);

    private readonly SimulationRuntime _runtime = new();
    private readonly CryptoHardware _hardware;
    private readonly IApInstructions _instructions;

    public DataPlaneTests()
    {
        _hardware = new CryptoHardware(_runtime, new QciInfo(
            ApFeatures.Apxa, 255, 255, ApMask.Of(1), ApMask.Of(4), ApMask.None));
        _hardware.AddAdapter(1, new AdapterType(14, AdapterType.AcceleratorFunctions, Depth));
        _instructions = _hardware.InstructionsFor(ApIssuer.Bus);
    }

    [Fact]
    public void EchoSendsTheOperandsBack()
    {
        byte[] reply = Ask(Echo([1, 2, 3], []));
        Assert.True(ClearKeyMessage.TryDecode(reply, out ushort code, out byte[][] operands));
        Assert.Equal((ushort)ClearKeyResult.Ok, code);
        Assert.Equal([[1, 2, 3], []], operands);
    }

    [Fact]
    public void ModularExponentiationAgreesWithBigInteger()
    {
        SplitMix random = new(17);
        for (int round = 0; round < 40; round++)
        {
            int words = 1 + random.Below(16);
            BigInteger modulus = Number(ref random, words) | BigInteger.One;
            BigInteger value = Number(ref random, words) % modulus;
            BigInteger exponent = Number(ref random, 1 + random.Below(2));
            byte[] reply = Ask(ClearKeyMessage.ModularExponentiation(value, exponent, modulus));
            Assert.True(ClearKeyMessage.TryDecode(reply, out ushort code, out byte[][] operands));
            Assert.Equal((ushort)ClearKeyResult.Ok, code);
            byte[] result = Assert.Single(operands);
            Assert.Equal(BigInteger.ModPow(value, exponent, modulus), new BigInteger(result, isUnsigned: true, isBigEndian: true));
            Assert.Equal(modulus.GetByteCount(isUnsigned: true), result.Length);
        }
    }

    [Fact]
    public void WhatCannotBeComputedIsRefusedInTheReply()
    {
        Assert.Equal(ClearKeyResult.MalformedMessage, Result(Ask([1])));
        Assert.Equal(ClearKeyResult.MalformedMessage, Result(Ask([0, 1, 0, 1, 0, 9, 1])));
        Assert.Equal(ClearKeyResult.MalformedMessage, Result(Ask(ClearKeyMessage.Encode(99))));
        Assert.Equal(ClearKeyResult.OperandOutOfRange, Result(Ask(ClearKeyMessage.ModularExponentiation(7, 1, 7))));
        Assert.Equal(ClearKeyResult.OperandOutOfRange, Result(Ask(ClearKeyMessage.ModularExponentiation(0, 1, 0))));
    }

    [Fact]
    public void AQueueTakesAsManyRequestsAsItIsDeep()
    {
        for (ulong i = 1; i <= Depth; i++)
            Assert.Equal(ApResponse.Normal, _instructions.Nqap(Queue, i, Echo([(byte)i])).Code);
        ApStatus status = _instructions.Nqap(Queue, 99, Echo([99]));
        Assert.Equal((0x10, true, false), ((int)status.Code, status.QueueFull, status.QueueEmpty));
        Assert.True(_instructions.Tapq(Queue).QueueFull);
        for (ulong i = 1; i <= Depth; i++)
        {
            Assert.Equal(ApResponse.Normal, _instructions.Dqap(Queue, out ulong psmid, out ReadOnlyMemory<byte> reply).Code);
            Assert.Equal(i, psmid);
            Assert.True(ClearKeyMessage.TryDecode(reply.Span, out _, out byte[][] operands));
            Assert.Equal([(byte)i], Assert.Single(operands));
        }
        Assert.True(_instructions.Tapq(Queue).QueueEmpty);
        Assert.Equal(0x10, (int)_instructions.Dqap(Queue, out _, out _).Code);
    }

    [Fact]
    public void AReplyIsThereOnceItsTimeHasPassed()
    {
        _hardware.RequestTime = TimeSpan.FromMilliseconds(5);
        ApStatus status = _instructions.Nqap(Queue, 1, Echo([1]));
        Assert.Equal((ApResponse.Normal, false, false), (status.Code, status.QueueEmpty, status.RepliesWaiting));
        Assert.Equal(ApResponse.NoPendingReply, _instructions.Dqap(Queue, out _, out _).Code);
        _runtime.Advance(TimeSpan.FromMilliseconds(5));
        Assert.True(_instructions.Tapq(Queue).RepliesWaiting);
        Assert.Equal(ApResponse.Normal, _instructions.Dqap(Queue, out _, out _).Code);
    }

    [Fact]
    public void AMessageLongerThanTheLimitIsRefused()
    {
        Assert.Equal(ApResponse.Normal, _instructions.Nqap(Queue, 1, new byte[12288]).Code);
        Assert.Equal(ApResponse.MessageTooBig, _instructions.Nqap(Queue, 2, new byte[12289]).Code);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AResetLosesTheRequestsThatAreInTheQueue(bool zeroize)
    {
        _hardware.RequestTime = TimeSpan.FromMilliseconds(5);
        _instructions.Nqap(Queue, 1, Echo([1]));
        _instructions.Nqap(Queue, 2, Echo([2]));
        Assert.Equal(0, _hardware.LostRequests);
        Assert.Equal(ApResponse.Normal, (zeroize ? _instructions.Zapq(Queue) : _instructions.Rapq(Queue)).Code);
        Assert.Equal(2, _hardware.LostRequests);
        _runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(ApResponse.NoPendingReply, _instructions.Dqap(Queue, out _, out _).Code);
        Assert.True(_instructions.Tapq(Queue).QueueEmpty);
    }

    private static byte[] Echo(params byte[][] operands) => ClearKeyMessage.Encode((ushort)ClearKeyFunction.Echo, operands);

    private static ClearKeyResult Result(byte[] reply)
    {
        Assert.True(ClearKeyMessage.TryDecode(reply, out ushort code, out byte[][] operands));
        Assert.Empty(operands);
        return (ClearKeyResult)code;
    }

    private static BigInteger Number(ref SplitMix random, int words)
    {
        BigInteger number = BigInteger.Zero;
        for (int i = 0; i < words; i++)
            number = (number << 64) | random.Next();
        return number;
    }

    private byte[] Ask(byte[] request)
    {
        Assert.Equal(ApResponse.Normal, _instructions.Nqap(Queue, 7, request).Code);
        Assert.Equal(ApResponse.Normal, _instructions.Dqap(Queue, out ulong psmid, out ReadOnlyMemory<byte> reply).Code);
        Assert.Equal(7ul, psmid);
        return reply.ToArray();
    }
}
