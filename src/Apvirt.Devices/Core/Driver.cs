using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Devices.Core;

/// <summary>A driver of a bus, and its directory with a link for each device bound to it.</summary>
public abstract class Driver : SysfsDirectory, IListed<Driver>
{
    private static readonly LockClass FilesClass = new("kn_active(driver)", LockKind.ActiveReference);

    private static readonly SysfsAttribute UeventFile = new SysfsAttribute<Driver>(
        "uevent", SysfsMode.WriteOnly, store: static (_, _, _) => new ValueTask<Errno>(Errno.Ok));

    private static readonly AttributeTable WithoutBind = new([UeventFile]);

    /// <summary>The files of every driver, for those that have more.</summary>
    protected static IReadOnlyList<SysfsAttribute> StandardAttributes { get; } =
    [
        new SysfsAttribute<Driver>("bind", SysfsMode.WriteOnly, store: static (task, driver, text) => driver.StoreBindAsync(task, text)),
        UeventFile,
        new SysfsAttribute<Driver>("unbind", SysfsMode.WriteOnly, store: static (task, driver, text) => driver.StoreUnbindAsync(task, text)),
    ];

    private static readonly AttributeTable WithBind = new(StandardAttributes);

    private ListLink<Driver> _link;

    /// <summary>Makes a driver that is not registered yet.</summary>
    /// <param name="bus">Its bus.</param>
    /// <param name="name">Its name.</param>
    protected Driver(Bus bus, string name) : base(name, bus.DriversDirectory, FilesClass) => Bus = bus;

    /// <summary>The bus.</summary>
    public Bus Bus { get; }

    // The place in the bus's list.
    ref ListLink<Driver> IListed<Driver>.Link => ref _link;

    /// <inheritdoc/>
    public override AttributeTable Attributes => SuppressesBind ? WithoutBind : WithBind;

    /// <summary>Whether the driver has no <c>bind</c> and <c>unbind</c> files.</summary>
    public virtual bool SuppressesBind => false;

    /// <summary>Takes a device over. Called with the device's lock held.</summary>
    /// <param name="task">The binding task.</param>
    /// <param name="device">The device.</param>
    /// <returns>An error leaves the device unbound.</returns>
    public abstract ValueTask<Errno> ProbeAsync(KernelTask task, Device device);

    /// <summary>Gives a device up; cannot fail. Called with the device's lock held.</summary>
    /// <param name="task">The unbinding task.</param>
    /// <param name="device">The device.</param>
    public abstract ValueTask RemoveAsync(KernelTask task, Device device);

    /// <inheritdoc/>
    public override bool TryFind(ReadOnlySpan<char> name, out SysfsEntry entry)
    {
        if (base.TryFind(name, out entry))
            return true;
        if (Bus.FindDevice(name) is not { } device || device.LinkedDriver != this)
            return false;
        entry = SysfsEntry.LinkTo(device.Name, device);
        return true;
    }

    /// <inheritdoc/>
    public override IEnumerable<SysfsEntry> List() =>
        base.List().Concat(Bus.Devices().Where(d => d.LinkedDriver == this).Select(d => SysfsEntry.LinkTo(d.Name, d)));

    private ValueTask<Errno> StoreBindAsync(KernelTask task, ReadOnlyMemory<byte> text) =>
        Bus.FindDevice(DeviceName(text.Span)) is { } device
            ? Bus.BindAsync(task, this, device)
            : new ValueTask<Errno>(Errno.ENODEV);

    private ValueTask<Errno> StoreUnbindAsync(KernelTask task, ReadOnlyMemory<byte> text) =>
        Bus.FindDevice(DeviceName(text.Span)) is { } device
            ? Bus.UnbindAsync(task, this, device)
            : new ValueTask<Errno>(Errno.ENODEV);

    /// <summary>The device name in what was written: exact, but for one trailing line feed (sysfs.md §0).</summary>
    internal static string DeviceName(ReadOnlySpan<byte> text) =>
        Encoding.UTF8.GetString(text.Length > 0 && text[^1] == '\n' ? text[..^1] : text);
}
