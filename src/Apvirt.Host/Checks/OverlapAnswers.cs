using Apvirt.Host.Traces;
using Apvirt.Kernel;

namespace Apvirt.Host.Checks;

/// <summary>
/// What operations may answer, having changed nothing, because another is under way: a device appears and goes in several
/// steps, which the specification shows to others. No order of the operations gives these answers, and none has to (V06).
/// </summary>
public static class OverlapAnswers
{
    private static readonly Rule[] Rules =
    [
        // vfio.md §10: the name is taken first and given back last.
        new(Errno.EEXIST, (own, other) => own.Does == CallKind.Create && other.IsChange && other.Name == own.Name),
        // vfio.md §10: who comes second to a `remove` returns as if it had been done.
        new(Errno.Ok, (own, other) => own.Does == CallKind.Remove && other.Does == CallKind.Remove && other.Name == own.Name),
        // vfio.md §10, sysfs.md §7: what is being made cannot be removed yet, and what is being removed not again.
        new(Errno.EAGAIN, (own, other) => own.Does == CallKind.Remove && other.IsChange && other.Name == own.Name),
        // vfio.md §10: attributes come after the device and go before it.
        new(Errno.ENOENT, (own, other) => own.Does is CallKind.Attribute or CallKind.Remove && other.IsChange && own.IsOf(other.Name)),
        // vfio.md §2: who unregisters a device first takes it out of where opens look for it.
        new(Errno.ENODEV, (own, other) => own.Does == CallKind.Open && other.Does == CallKind.Remove && other.Name == own.Name),
    ];

    private enum CallKind
    {
        Other,
        Create,
        Remove,
        Attribute,
        Open,
    }

    /// <summary>The answers that an operation may give, having changed nothing, beside others.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="others">What is under way for some of the time that it is.</param>
    public static IEnumerable<Errno> Of(TraceLine operation, IEnumerable<TraceLine> others)
    {
        Call own = Call.Of(operation);
        if (own.Does == CallKind.Other)
            return [];
        Call[] beside = [.. others.Select(Call.Of)];
        return Rules.Where(rule => Array.Exists(beside, other => rule.Applies(own, other))).Select(rule => rule.Answer);
    }

    private sealed record Rule(Errno Answer, Func<Call, Call, bool> Applies);

    private readonly record struct Call(CallKind Does, string Name, string Path)
    {
        internal bool IsChange => Does is CallKind.Create or CallKind.Remove;

        internal bool IsOf(string name) => Path.Contains($"/{name}/", StringComparison.Ordinal);

        internal static Call Of(TraceLine line)
        {
            if (line.Operation!.Name is "device.open" or "cdev.open")
                return new Call(CallKind.Open, line.Fields.Device()!, "");
            if (line.Operation.Name is not ("read" or "write"))
                return default;
            string path = line.Fields.Text("path");
            string[] parts = path.Split('/');
            return (line.Operation.Name, parts[^1]) switch
            {
                ("write", "create") => new Call(CallKind.Create, line.Fields.Text("data").Trim(), path),
                ("write", "remove") when parts.Length > 1 => new Call(CallKind.Remove, parts[^2], path),
                _ => new Call(CallKind.Attribute, "", path),
            };
        }
    }
}
