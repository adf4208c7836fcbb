using System.Collections.Frozen;
using System.Text.Json;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;
using Apvirt.Kvm.Protection;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Host.Traces;

/// <summary>What an operation works on.</summary>
/// <param name="Host">The host.</param>
/// <param name="Task">On whose behalf.</param>
/// <param name="Fields">The fields of the operation, checked.</param>
/// <param name="Page">A page to show attributes on.</param>
internal readonly record struct OperationContext(VirtualHost Host, KernelTask Task, JsonElement Fields, SysfsText Page);

/// <summary>An operation that a trace can hold.</summary>
/// <param name="Name">Value of <c>op</c>.</param>
/// <param name="Fields">The fields that it takes.</param>
/// <param name="Answers">The fields that answers can have.</param>
/// <param name="Run">What it does.</param>
internal sealed record TraceOperation(
    string Name, IReadOnlyList<FieldSpec> Fields, IReadOnlyList<string> Answers, Func<OperationContext, ValueTask<Answer>> Run)
{
    /// <summary>Whether it takes a picture of the whole at one moment, which no caller could.</summary>
    internal bool IsPicture { get; init; }

    /// <summary>Whether it is what user space does by several calls.</summary>
    internal bool IsSeveralCalls { get; init; }

    /// <summary>Fields of which it needs one; empty if none.</summary>
    internal IReadOnlyList<string> OneOf { get; init; } = [];
}

/// <summary>The operations of the trace format as one table (FORMAT.md).</summary>
internal static class TraceOperations
{
    private static readonly FieldSpec Guest = new("guest", FieldKind.Text);
    private static readonly FieldSpec Mdev = new("mdev", FieldKind.Text);
    private static readonly FieldSpec Device = new("device", FieldKind.Text, false);
    private static readonly FieldSpec Queue = new("apqn", FieldKind.Apqn);
    private static readonly IReadOnlyList<string> Result = ["result"];

    internal static FrozenDictionary<string, TraceOperation> ByName { get; } = new TraceOperation[]
    {
        new("write", [new("path", FieldKind.Text), new("data", FieldKind.Text)], Result, WriteAsync),
        new("read", [new("path", FieldKind.Text)], ["value", "result"], ReadAsync),
        new("driver", [new("device", FieldKind.Text)], ["value"], DriverOf) { IsPicture = true },
        new("list", [new("what", FieldKind.ListName)], ["value"], List) { IsPicture = true },
        new("guest.start",
            [
                Guest, Mdev with { IsRequired = false }, Device, new("devices", FieldKind.TextList, false), new("req_irq", FieldKind.Flag, false), new("ap", FieldKind.Flag, false), new("kvm", FieldKind.Flag, false),
                new("mem", FieldKind.Number, false), new("gisa", FieldKind.Flag, false), new("protected", FieldKind.Flag, false),
                new("vcpus", FieldKind.VcpuCount, false), new("iommufd", FieldKind.Flag, false),
            ],
            Result, StartGuestAsync) { OneOf = ["mdev", "device", "devices"], IsSeveralCalls = true },
        new("guest.stop", [Guest], Result, async c => Answer.Of(await c.Host.Guests.StopAsync(c.Task, c.Fields.Text("guest")))) { IsSeveralCalls = true },
        new("guest.detach", [Guest, Mdev with { IsRequired = false }, Device], Result, async c =>
            Answer.Of(await c.Host.Guests.DetachAsync(c.Task, c.Fields.Text("guest"), c.Fields.Device()!))) { OneOf = ["mdev", "device"], IsSeveralCalls = true },
        new("guest.apcb", [Guest], ["apm", "aqm", "adm", "result"], ApcbOf) { IsPicture = true },
        new("guest.counters", [Guest], ["set_masks", "clear_masks", "result"], CountersOf) { IsPicture = true },
        new("guest.irq_state", [Guest], ["pins", "gisc", "result"], InterruptStateOf) { IsPicture = true },
        new("host.config",
            [new("adapters", FieldKind.IdList), new("domains", FieldKind.IdList), new("control_domains", FieldKind.IdList)],
            Result, ConfigureAsync),
        new("pqap.aqic",
            [
                Guest, Queue, new("enable", FieldKind.Flag), new("isc", FieldKind.Number), new("nib", FieldKind.NumberText),
                new("pin_fail", FieldKind.Flag, false), new("aiv", FieldKind.Flag, false), new("vcpu", FieldKind.Number, false),
            ],
            ["rc", "result"], AqicAsync),
        new("guest.pv",
            [Guest, new("command", FieldKind.Text), new("flags", FieldKind.Number, false), new("interrupted", FieldKind.Flag, false)],
            Result, ProtectAsync),
        new("guest.pv_state", [Guest], ["protected", "service_mask", "set_aside", "gisa", "alert", "result"], ProtectionOf) { IsPicture = true },
        new("uv.fault", [new("call", FieldKind.UltravisorCall), new("after", FieldKind.Number, false), new("error", FieldKind.ErrorName)], Result, InjectUltravisor),
        new("guest.zapq", [Guest, Queue], ["rc", "result"], GuestZapq),
        new("queue.resets", [], ["value", "vfio_ap", "bus", "guest"], Resets) { IsPicture = true },
        new("queue.state", [Queue, new("state", FieldKind.State)], Result, c =>
            Ok(c.Host.Hardware.SetQueueCode(c.Fields.Apqn("apqn"), OperationFields.States[c.Fields.Text("state")]))),
        new("queue.fault",
            [Queue, new("insn", FieldKind.Instruction), new("rc", FieldKind.CodeList), new("sticky", FieldKind.Flag, false)],
            Result, Inject),
        new("device.reset", [Mdev], Result, ResetDeviceAsync),
        new("dma.unmap", [Mdev, new("iova", FieldKind.NumberText), new("length", FieldKind.NumberText)], Result, UnmapAsync),
    }.Concat(VfioOperations.All).Concat(InterruptOperations.All).ToFrozenDictionary(o => o.Name, StringComparer.Ordinal);

    internal static ValueTask<Answer> Ok(bool done) => new(Answer.Of(done ? Errno.Ok : Errno.ENODEV));

    private static async ValueTask<Answer> WriteAsync(OperationContext c) =>
        Answer.Of(await c.Host.Tree.WriteAsync(c.Task, c.Fields.Text("path"), c.Fields.Bytes("data")));

    private static async ValueTask<Answer> ReadAsync(OperationContext c)
    {
        Errno error = await c.Host.Tree.ReadAsync(c.Task, c.Fields.Text("path"), c.Page);
        return error == Errno.Ok ? Answer.Of(c.Page.Memory) : Answer.Of(error);
    }

    private static ValueTask<Answer> DriverOf(OperationContext c)
    {
        string driver = c.Host.ApBus.FindDevice(c.Fields.Text("device")) is not { } device ? "absent" : device.Driver?.Name ?? "none";
        return new ValueTask<Answer>(new Answer().Add("value", driver));
    }

    private static ValueTask<Answer> List(OperationContext c)
    {
        string what = c.Fields.Text("what");
        List<string> names = [];
        if (what == "mdevs")
        {
            names.AddRange(c.Host.MdevBus.Devices().Where(d => d.IsRegistered).Select(d => d.Name).Order(StringComparer.Ordinal));
        }
        else
        {
            // In the order of their numbers, which is that of their names.
            foreach (ApQueue queue in c.Host.ApBus.Queues())
            {
                string? driver = queue.Driver?.Name;
                if (what == "queues" || (what == "unbound" ? driver is null : string.Equals(driver, what, StringComparison.Ordinal)))
                    names.Add(queue.Name);
            }
        }
        return new ValueTask<Answer>(new Answer().Add("value", new NamesValue(names)));
    }

    private static async ValueTask<Answer> StartGuestAsync(OperationContext c)
    {
        GuestOptions options = new()
        {
            RegistersRequest = c.Fields.Flag("req_irq", otherwise: true),
            AssociatesKvm = c.Fields.Flag("kvm", otherwise: true),
            UsesIommufd = c.Fields.Flag("iommufd", otherwise: false),
            Machine = new VirtualMachineOptions
            {
                HasAp = c.Fields.Flag("ap", otherwise: true),
                HasGisa = c.Fields.Flag("gisa", otherwise: true),
                IsProtected = c.Fields.Flag("protected", otherwise: false),
                MemoryBytes = c.Fields.Number("mem", 4UL << 30),
                VcpuCount = (int)c.Fields.Number("vcpus", 1),
            },
        };
        string[] devices = c.Fields.Device() is { } device ? [device, .. c.Fields.Texts("devices")] : [.. c.Fields.Texts("devices")];
        return Answer.Of(await c.Host.Guests.StartAsync(c.Task, c.Fields.Text("guest"), devices, options));
    }

    internal static ValueTask<Answer> OfGuest(OperationContext c, Func<GuestProcess, Answer> answer) =>
        new(c.Host.Guests.Find(c.Fields.Text("guest")) is { } guest ? answer(guest) : Answer.Of(Errno.ENODEV));

    private static ValueTask<Answer> ApcbOf(OperationContext c) => OfGuest(c, guest => new Answer()
        .Add("apm", guest.Machine.Apcb.Apm.ToString())
        .Add("aqm", guest.Machine.Apcb.Aqm.ToString())
        .Add("adm", guest.Machine.Apcb.Adm.ToString()));

    private static ValueTask<Answer> CountersOf(OperationContext c) => OfGuest(c, guest => new Answer()
        .Add("set_masks", guest.Machine.SetMasksCount)
        .Add("clear_masks", guest.Machine.ClearMasksCount));

    private static ValueTask<Answer> InterruptStateOf(OperationContext c) => OfGuest(c, guest => new Answer()
        .Add("pins", guest.PinCount)
        .Add("gisc", new NumbersValue(guest.Machine.Gisa.Counts)));

    private static async ValueTask<Answer> ConfigureAsync(OperationContext c)
    {
        await c.Host.ConfigureAsync(c.Task, c.Fields.Mask("adapters"), c.Fields.Mask("domains"), c.Fields.Mask("control_domains"));
        return Answer.Of(Errno.Ok);
    }

    private static async ValueTask<Answer> AqicAsync(OperationContext c)
    {
        if (c.Host.Guests.Find(c.Fields.Text("guest")) is not { } guest)
            return Answer.Of(Errno.ENODEV);
        AqicControl control = new(c.Fields.Flag("enable", otherwise: false), (byte)c.Fields.Number("isc"), c.Fields.NumberText("nib"));
        PqapRequest request = new(PqapRegisters.ForAqic(c.Fields.Apqn("apqn"), control)) { FailsToPin = c.Fields.Flag("pin_fail", otherwise: false), HasAiv = c.Fields.Flag("aiv", otherwise: true) };
        if (c.Fields.Vcpu(guest) is not { } vcpu)
            return Answer.Of(Errno.EINVAL);
        if (await c.Host.Guests.InterceptAsync(c.Task, guest, request, vcpu) is not { } answer)
            return Answer.Of(Errno.ENODEV);
        return answer.Outcome switch
        {
            PqapOutcome.NotSupported => Answer.Of(Errno.EOPNOTSUPP),
            PqapOutcome.Specification => new Answer().Add("rc", "specification exception"),
            PqapOutcome.PrivilegedOperation => new Answer().Add("rc", "privileged-operation exception"),
            _ => new Answer().Add("rc", (long)ResponseOf(answer, request)),
        };
    }

    // A command that there is not gets as far as the command itself.
    private static async ValueTask<Answer> ProtectAsync(OperationContext c)
    {
        if (c.Host.Guests.Find(c.Fields.Text("guest")) is not { } guest)
            return Answer.Of(Errno.ENODEV);
        PvCommand command = OperationFields.PvCommands.GetValueOrDefault(c.Fields.Text("command"), (PvCommand)(-1));
        return Answer.Of(await c.Host.Guests.ProtectAsync(
            c.Task, guest, command, (uint)c.Fields.Number("flags", 0), c.Fields.Flag("interrupted", otherwise: false)));
    }

    private static ValueTask<Answer> ProtectionOf(OperationContext c) => OfGuest(c, guest => new Answer()
        .Add("protected", guest.Machine.Protection.State.IsProtected ? 1L : 0)
        .Add("service_mask", guest.Machine.Protection.State.MasksServiceSignals ? 1L : 0)
        .Add("set_aside", (long)(guest.Machine.Protection.State.SetAside + guest.Machine.Protection.State.Leftovers))
        .Add("gisa", guest.Machine.Gisa.Exists ? 1L : 0)
        .Add("alert", (long)guest.Machine.Gisa.AlertMask));

    private static ValueTask<Answer> InjectUltravisor(OperationContext c)
    {
        c.Host.Ultravisor?.Inject(OperationFields.UltravisorCalls[c.Fields.Text("call")], (int)c.Fields.Number("after", 0), Enum.Parse<Errno>(c.Fields.Text("error")));
        return Ok(c.Host.Ultravisor is not null);
    }

    // Without a hook 6.12 leaves the code in the wrong half of the register; only the condition code tells (QUIRKS.md 35).
    private static ApResponse ResponseOf(PqapAnswer answer, PqapRequest request) =>
        answer.ConditionCode == 3 && request.Registers.Response == ApResponse.Normal ? ApResponse.NotAvailable : request.Registers.Response;

    private static ValueTask<Answer> GuestZapq(OperationContext c) => OfGuest(c, guest =>
        c.Host.Guests.Zapq(c.Task, guest, c.Fields.Apqn("apqn")) is { } status ? new Answer().Add("rc", (long)status.Code) : Answer.Of(Errno.ENODEV));

    private static ValueTask<Answer> Resets(OperationContext c)
    {
        List<KeyValuePair<string, int>> all = [];
        List<KeyValuePair<string, int>> driver = [];
        List<KeyValuePair<string, int>> bus = [];
        List<KeyValuePair<string, int>> guest = [];
        foreach ((Apqn apqn, ResetCounts counts) in c.Host.Hardware.ResetCounts())
        {
            string name = apqn.ToString();
            AddCount(all, name, counts.Driver + counts.Bus);
            AddCount(driver, name, counts.Driver);
            AddCount(bus, name, counts.Bus);
            AddCount(guest, name, counts.Guest);
        }
        Answer answer = new Answer()
            .Add("value", new CountsValue(all))
            .Add("vfio_ap", new CountsValue(driver))
            .Add("bus", new CountsValue(bus));
        if (guest.Count > 0)
            answer.Add("guest", new CountsValue(guest));
        return new ValueTask<Answer>(answer);
    }

    private static void AddCount(List<KeyValuePair<string, int>> counts, string name, int count)
    {
        if (count > 0)
            counts.Add(new(name, count));
    }

    private static ValueTask<Answer> Inject(OperationContext c)
    {
        ApResponse[] codes = [.. c.Fields.GetProperty("rc").EnumerateArray().Select(code => (ApResponse)code.GetByte())];
        ApInstruction instruction = OperationFields.Instructions[c.Fields.Text("insn")];
        return Ok(c.Host.Hardware.Inject(c.Fields.Apqn("apqn"), instruction, codes, c.Fields.Flag("sticky", otherwise: false)));
    }

    private static async ValueTask<Answer> ResetDeviceAsync(OperationContext c)
    {
        MatrixMdev? mdev = OpenMdev(c);
        return Answer.Of(mdev is null ? Errno.ENODEV : await mdev.ResetAsync(c.Task));
    }

    private static async ValueTask<Answer> UnmapAsync(OperationContext c)
    {
        if (OpenMdev(c) is { } mdev)
            await mdev.Vfio.TellUnmapAsync(c.Task, c.Fields.NumberText("iova"), c.Fields.NumberText("length"));
        return Answer.Of(Errno.Ok);
    }

    // Also finds a device that is being removed while user space still has it open.
    private static MatrixMdev? OpenMdev(OperationContext c)
    {
        string uuid = c.Fields.Text("mdev");
        return c.Host.Guests.List().SelectMany(g => g.Mdevs).FirstOrDefault(d => string.Equals(d.Name, uuid, StringComparison.Ordinal));
    }
}
