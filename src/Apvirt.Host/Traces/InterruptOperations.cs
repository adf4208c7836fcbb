using Apvirt.Host.Guests;
using Apvirt.Kernel;

namespace Apvirt.Host.Traces;

/// <summary>The operations about interrupts of guests: devices that interrupt, vCPUs that wait (docs/trace-format.md).</summary>
internal static class InterruptOperations
{
    private static readonly FieldSpec Guest = new("guest", FieldKind.Text);

    internal static IReadOnlyList<TraceOperation> All { get; } =
    [
        new("queue.interrupt", [new("apqn", FieldKind.Apqn)], ["guest", "isc"], c => new ValueTask<Answer>(
            c.Host.Guests.Interrupt(c.Task, c.Fields.Apqn("apqn")) is { } interrupted
                ? new Answer().Add("guest", interrupted.Guest.Name).Add("isc", interrupted.Subclass)
                : new Answer().Add("guest", ""))),
        new("guest.wait", [Guest, new("isc", FieldKind.SubclassList), new("vcpu", FieldKind.Number, false)], ["taken", "result"], WaitAsync),
        new("guest.interrupts", [Guest], ["pending", "alerting", "idle", "result"], c => TraceOperations.OfGuest(c, guest => new Answer()
            .Add("pending", guest.Machine.Gisa.Pending)
            .Add("alerting", guest.Machine.Gisa.Alerting)
            .Add("idle", guest.Machine.Gisa.IdleVcpus))) { IsPicture = true },
        new("guest.ais", [Guest, new("isc", FieldKind.Number), new("mode", FieldKind.Suppression)], ["result"], c =>
            TraceOperations.OfGuest(c, guest => Answer.Of(guest.Machine.Gisa.SetSuppression(
                c.Task, (int)c.Fields.Number("isc"), OperationFields.SuppressionModes[c.Fields.Text("mode")])))),
        new("guest.share", [Guest, new("address", FieldKind.NumberText), new("shared", FieldKind.Flag)], ["result"], c =>
            TraceOperations.OfGuest(c, guest =>
            {
                guest.Machine.Protection.Share(c.Task, c.Fields.NumberText("address"), c.Fields.Flag("shared", otherwise: true));
                return Answer.Of(Errno.Ok);
            })),
    ];

    private static async ValueTask<Answer> WaitAsync(OperationContext c)
    {
        if (c.Host.Guests.Find(c.Fields.Text("guest")) is not { } guest)
            return Answer.Of(Errno.ENODEV);
        if (c.Fields.Vcpu(guest) is not { } vcpu)
            return Answer.Of(Errno.EINVAL);
        int subclasses = c.Fields.GetProperty("isc").EnumerateArray().Aggregate(0, (bits, isc) => bits | 0x80 >> isc.GetInt32());
        (Errno error, int subclass) = await c.Host.Guests.WaitAsync(c.Task, guest, vcpu, (byte)subclasses);
        return error == Errno.Ok ? new Answer().Add("taken", subclass) : Answer.Of(error);
    }
}
