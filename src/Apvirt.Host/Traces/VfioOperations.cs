using Apvirt.Host.Guests;
using Apvirt.Kernel;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Memory;
using Apvirt.VfioPci.Pci;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.Host.Traces;

/// <summary>The operations of guests' user space on VFIO: files of devices, VMs and containers, PCI functions, vGPUs (docs/trace-format.md).</summary>
internal static class VfioOperations
{
    // What a device copies at once is a command or so.
    private const ulong BytesMax = 0x10000;

    private static readonly FieldSpec Guest = new("guest", FieldKind.Text);
    private static readonly FieldSpec Mdev = new("mdev", FieldKind.Text, false);
    private static readonly FieldSpec Device = new("device", FieldKind.Text, false);
    private static readonly FieldSpec Function = new("device", FieldKind.Text);
    private static readonly FieldSpec File = new("file", FieldKind.Text);
    private static readonly FieldSpec Iova = new("iova", FieldKind.NumberText);
    private static readonly FieldSpec Length = new("length", FieldKind.NumberText);
    private static readonly FieldSpec Address = new("address", FieldKind.NumberText, false);
    private static readonly IReadOnlyList<string> Result = ["result"];
    private static readonly IReadOnlyList<string> EitherName = ["mdev", "device"];
    private static readonly IReadOnlyList<string> AnyFile = ["mdev", "device", "file"];

    internal static IReadOnlyList<TraceOperation> All { get; } =
    [
        new("guest.create", [Guest, new("mem", FieldKind.Number, false), new("vcpus", FieldKind.VcpuCount, false)], Result, async c => Answer.Of(await c.Host.Guests.StartAsync(
            c.Task, c.Fields.Text("guest"), [], new GuestOptions
            {
                Machine = new VirtualMachineOptions { MemoryBytes = c.Fields.Number("mem", 4UL << 30), VcpuCount = (int)c.Fields.Number("vcpus", 1) },
            }))),
        new("guest.close_vm", [Guest], Result, c => InProcess(c, (guest, _) => guest.CloseVmAsync(c.Task))),
        new("device.open", [Guest, Mdev, Device, File], Result, c => InProcess(c, (guest, device) => guest.OpenAgainAsync(c.Task, device!, c.Fields.Text("file"))))
        {
            OneOf = EitherName,
        },
        new("group.close", [Guest, Mdev, Device], Result, async c => Answer.Of(await c.Host.Guests.CloseGroupAsync(c.Task, c.Fields.Text("guest"), c.Fields.Device()!))) { OneOf = EitherName },
        new("device.close", [Guest, File], Result, c => InProcess(c, (guest, _) => guest.CloseFileAsync(c.Task, c.Fields.Text("file")))),
        new("cdev.open", [Guest, Mdev, Device, File], Result, c => InProcess(c, (guest, device) => guest.OpenDirectlyAsync(c.Task, device!, c.Fields.Text("file"))))
        {
            OneOf = EitherName,
        },
        new("cdev.bind", [Guest, File], Result, c => InProcess(c, (guest, _) => guest.BindAsync(c.Task, c.Fields.Text("file")))),
        new("cdev.detach", [Guest, File], Result, c => InProcess(c, (guest, _) => guest.DetachAsync(c.Task, c.Fields.Text("file")))),
        new("cdev.attach", [Guest, File], Result, c => InProcess(c, (guest, _) => guest.AttachAsync(c.Task, c.Fields.Text("file")))),
        new("kvm.file_add", [Guest, Mdev, Device, File with { IsRequired = false }], Result, c => AssociateAsync(c, isAdded: true)) { OneOf = AnyFile },
        new("kvm.file_del", [Guest, Mdev, Device, File with { IsRequired = false }], Result, c => AssociateAsync(c, isAdded: false)) { OneOf = AnyFile },
        new("container.map", [Guest, Iova, Length, new("write", FieldKind.Flag, false), Address], Result, c => InContainer(c, container => container.MapAsync(
            c.Task, c.Fields.NumberText("iova"), c.Fields.NumberText("length"), Protection(c), AddressOf(c)))),
        new("container.invalidate", [Guest, Iova, Length], Result, c => InContainer(c, container => container.InvalidateAsync(
            c.Task, c.Fields.NumberText("iova"), c.Fields.NumberText("length")))),
        new("container.update", [Guest, Iova, Length, Address with { IsRequired = true }], Result, c => InContainer(c, container => container.UpdateAsync(
            c.Task, c.Fields.NumberText("iova"), c.Fields.NumberText("length"), c.Fields.NumberText("address")))),
        new("container.unmap", [Guest, Iova, Length], Result, c => InContainer(c, container => container.UnmapAsync(
            c.Task, c.Fields.NumberText("iova"), c.Fields.NumberText("length")))),
        new("ioas.map", [Guest, Iova, Length, new("write", FieldKind.Flag, false), Address], Result, c => InSpace(c, space => space.MapAsync(
            c.Task, c.Fields.NumberText("iova"), c.Fields.NumberText("length"), Protection(c), AddressOf(c)))),
        new("ioas.unmap", [Guest, Iova, Length], Result, c => InSpace(c, space => space.UnmapAsync(c.Task, c.Fields.NumberText("iova"), c.Fields.NumberText("length")))),
        new("zpci.reg_aen",
            [
                Guest, Device, new("handle", FieldKind.NumberText, false), new("aibv", FieldKind.NumberText), new("isc", FieldKind.Number), new("noi", FieldKind.Number),
                new("aisb", FieldKind.NumberText, false), new("flags", FieldKind.Number, false),
            ],
            Result, c => OperateAsync(c, ZpciOperationCode.RegisterInterrupts)) { OneOf = ["device", "handle"] },
        new("zpci.dereg_aen", [Guest, Device, new("handle", FieldKind.NumberText, false)], Result, c => OperateAsync(c, ZpciOperationCode.DeregisterInterrupts))
        {
            OneOf = ["device", "handle"],
        },
        new("zpci.info", [Function], ["fh", "pchid", "vfn", "pft", "gid", "noi", "util", "result"], c => new ValueTask<Answer>(
            c.Host.Guests.FindDevice(c.Fields.Text("device"))?.Driver is VfioPciDevice function && function.ReadCapabilities(c.Task) is { } info
                ? new Answer().Add("fh", string.Create(System.Globalization.CultureInfo.InvariantCulture, $"0x{info.Handle:x8}")).Add("pchid", info.Pchid)
                    .Add("vfn", info.Vfn).Add("pft", info.FunctionType).Add("gid", info.Pfgid).Add("noi", info.InterruptsMax).AddIfAny("util", info.Utility)
                : Answer.Of(Errno.ENODEV))),
        new("zpci.interrupt", [Function], ["guest", "result"], Interrupt),
        new("zpci.fault", [Function, new("step", FieldKind.PciStep), new("times", FieldKind.Number, false)], Result, c => OfFunction(c, function =>
        {
            function.Firmware.Inject(OperationFields.PciSteps[c.Fields.Text("step")], (int)c.Fields.Number("times", 1));
            return Answer.Of(Errno.Ok);
        })),
        new("zpci.state", [Function], ["enabled", "gisa", "guest", "translations", "forwarding", "result"], c => OfFunction(c, function => new Answer()
            .Add("enabled", function.Firmware.IsEnabled ? 1L : 0)
            .Add("gisa", function.Firmware.Gisa == 0 ? 0L : 1)
            .Add("guest", function.Machine?.Name ?? "")
            .Add("translations", function.Firmware.Translations)
            .Add("forwarding", function.Forwarded.IsOn ? 1L : 0))) { IsPicture = true },
        new("vgpu.map", [new("mdev", FieldKind.Text), Iova, new("pages", FieldKind.Number, false)], Result, async c => Answer.Of(
            VgpuOf(c) is { } vgpu ? await vgpu.MapPagesAsync(c.Task, c.Fields.NumberText("iova"), (int)Math.Min(c.Fields.Number("pages", 1), int.MaxValue)) : Errno.ENODEV)),
        new("vgpu.read", [new("mdev", FieldKind.Text), Iova, new("bytes", FieldKind.Number)], ["value", "result"], ReadByDeviceAsync),
        new("vgpu.write", [new("mdev", FieldKind.Text), Iova, new("data", FieldKind.Text)], Result, async c => Answer.Of(
            VgpuOf(c) is { } vgpu ? await vgpu.WriteAsync(c.Task, c.Fields.NumberText("iova"), c.Fields.Bytes("data")) : Errno.ENODEV)),
        new("vgpu.trigger", [new("mdev", FieldKind.Text), new("set", FieldKind.Flag)], Result, async c => Answer.Of(
            VgpuOf(c) is { } vgpu ? await vgpu.SetTriggerAsync(c.Task, c.Fields.Flag("set", otherwise: true) ? new Eventfd(c.Task.Runtime, $"trigger of {vgpu}") : null) : Errno.ENODEV)),
        new("vgpu.interrupt", [new("mdev", FieldKind.Text)], Result, async c => Answer.Of(VgpuOf(c) is { } vgpu ? await vgpu.InterruptAsync(c.Task) : Errno.ENODEV)),
        new("guest.write", [Guest, new("address", FieldKind.NumberText), new("data", FieldKind.Text)], Result, c => InProcess(c, (guest, _) =>
            new ValueTask<Errno>(guest.Memory.TryWrite(c.Task, c.Fields.NumberText("address"), c.Fields.Bytes("data")) ? Errno.Ok : Errno.EFAULT))),
        new("vgpu.state", [new("mdev", FieldKind.Text)], ["guest", "pages", "result"], c => new ValueTask<Answer>(
            VgpuOf(c) is { } vgpu
                ? new Answer().Add("guest", vgpu.Tracked?.Name ?? "").Add("pages", vgpu.CachedPages)
                : Answer.Of(Errno.ENODEV))) { IsPicture = true },
        new("guest.refs", [Guest], ["refs", "holders", "result"], c => TraceOperations.OfGuest(c, guest =>
        {
            VmReference[] holders = [.. VmReference.Of(c.Host, guest)];
            return new Answer().Add("refs", guest.Machine.References).Add("holders", new NamesValue([.. holders.Select(holder => holder.ToString())]));
        })) { IsPicture = true },
    ];

    private static GvtDevice? VgpuOf(OperationContext c) => c.Host.Guests.FindDevice(c.Fields.Text("mdev"))?.Driver as GvtDevice;

    private static ulong? AddressOf(OperationContext c) => c.Fields.TryGetProperty("address", out _) ? c.Fields.NumberText("address") : null;

    private static async ValueTask<Answer> ReadByDeviceAsync(OperationContext c)
    {
        if (VgpuOf(c) is not { } vgpu)
            return Answer.Of(Errno.ENODEV);
        byte[] bytes = new byte[Math.Min(c.Fields.Number("bytes"), BytesMax)];
        Errno error = await vgpu.ReadAsync(c.Task, c.Fields.NumberText("iova"), bytes);
        return error == Errno.Ok ? Answer.Of(bytes) : Answer.Of(error);
    }

    private static async ValueTask<Answer> InProcess(OperationContext c, Func<GuestProcess, VfioDevice?, ValueTask<Errno>> action) =>
        Answer.Of(await c.Host.Guests.InProcessAsync(c.Task, c.Fields.Text("guest"), c.Fields.Device(), action));

    private static ValueTask<Answer> InContainer(OperationContext c, Func<VfioContainer, ValueTask<Errno>> action) =>
        InProcess(c, (guest, _) => guest.Container is { } container ? action(container) : new ValueTask<Errno>(Errno.EBADF));

    private static MapProtection Protection(OperationContext c) =>
        c.Fields.Flag("write", otherwise: true) ? MapProtection.Read | MapProtection.Write : MapProtection.Read;

    private static ValueTask<Answer> InSpace(OperationContext c, Func<Ioas, ValueTask<Errno>> action) =>
        InProcess(c, (guest, _) => guest.Iommufd is { } iommufd ? action(iommufd.Compatible) : new ValueTask<Errno>(Errno.EBADF));

    // A group by its device, or a device's own file by its name.
    private static ValueTask<Answer> AssociateAsync(OperationContext c, bool isAdded) =>
        InProcess(c, (guest, device) => guest.AssociateAsync(c.Task, device?.Group ?? (object)c.Fields.Text("file"), isAdded));

    // User space knows the handle from the device; what it has read before may be stale.
    private static ValueTask<Answer> OperateAsync(OperationContext c, ZpciOperationCode code) =>
        c.Host.Guests.Find(c.Fields.Text("guest")) is { } guest
            ? RunAsync(c, guest, code)
            : new ValueTask<Answer>(Answer.Of(Errno.ENODEV));

    private static async ValueTask<Answer> RunAsync(OperationContext c, GuestProcess guest, ZpciOperationCode code)
    {
        uint handle = c.Fields.TryGetProperty("handle", out _) ? (uint)c.Fields.NumberText("handle") : FunctionOf(c)?.ReadHandle(c.Task) ?? 0;
        ForwardingRequest request = code == ZpciOperationCode.DeregisterInterrupts ? default : new(
            c.Fields.NumberText("aibv"), (int)c.Fields.Number("isc"), (int)c.Fields.Number("noi"), c.Fields.TryGetProperty("aisb", out _) ? c.Fields.NumberText("aisb") : 0);
        return Answer.Of(await c.Host.Guests.OperateAsync(c.Task, guest, handle, code, (uint)c.Fields.Number("flags"), request));
    }

    private static ZpciFunction? FunctionOf(OperationContext c)
    {
        string name = c.Fields.Device() ?? "";
        return c.Host.Pci.Bus.Slots.FirstOrDefault(slot => string.Equals(slot.Address, name, StringComparison.Ordinal))?.Function;
    }

    private static ValueTask<Answer> OfFunction(OperationContext c, Func<ZpciFunction, Answer> answer) =>
        new(FunctionOf(c) is { } function ? answer(function) : Answer.Of(Errno.ENODEV));

    private static ValueTask<Answer> Interrupt(OperationContext c) =>
        OfFunction(c, function => new Answer().Add("guest", function.Interrupt(c.Task)?.Name ?? ""));
}
