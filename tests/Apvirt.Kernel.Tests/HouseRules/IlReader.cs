using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Reflection;
using System.Reflection.Emit;

namespace Apvirt.Kernel.Tests.HouseRules;

/// <summary>What methods consist of, as far as the rules need to know: their instructions and the members that these name.</summary>
internal static class IlReader
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private const byte Prefix = 0xfe;

    private static readonly FrozenDictionary<int, OpCode> Codes = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToFrozenDictionary(code => code.Value & 0xffff);

    /// <summary>The methods of a type that have a body, constructors and accessors included.</summary>
    internal static IEnumerable<MethodBase> MethodsOf(Type type) =>
        type.GetMethods(Declared).Concat<MethodBase>(type.GetConstructors(Declared)).Where(method => method.GetMethodBody() is not null);

    /// <summary>The instructions of a method, in order, with the field, method or type that each names.</summary>
    internal static IEnumerable<(OpCode Code, MemberInfo? Member)> Instructions(MethodBase method)
    {
        byte[] body = method.GetMethodBody()!.GetILAsByteArray()!;
        int at = 0;
        while (at < body.Length)
        {
            OpCode code = Codes[body[at] == Prefix ? (Prefix << 8) | body[at + 1] : body[at]];
            at += code.Size;
            yield return (code, NamesMember(code) ? Resolve(method, BinaryPrimitives.ReadInt32LittleEndian(body.AsSpan(at))) : null);
            at += SizeOfOperand(code, body, at);
        }
    }

    private static bool NamesMember(OpCode code) =>
        code.OperandType is OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineType or OperandType.InlineTok;

    private static MemberInfo? Resolve(MethodBase method, int token) => method.Module.ResolveMember(
        token,
        method.DeclaringType is { IsGenericType: true } type ? type.GetGenericArguments() : null,
        method is { IsGenericMethod: true, IsConstructor: false } ? method.GetGenericArguments() : null);

    private static int SizeOfOperand(OpCode code, byte[] body, int at) => code.OperandType switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        OperandType.InlineSwitch => 4 + (4 * BinaryPrimitives.ReadInt32LittleEndian(body.AsSpan(at))),
        _ => 4,
    };
}
