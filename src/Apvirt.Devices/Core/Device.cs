using System.Runtime.CompilerServices;
using Apvirt.Devices.Events;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Devices.Core;

/// <summary>
/// A device. It lives in the tree from registration to removal; it has a driver from a successful probe to the driver's
/// remove. Both changes happen under <see cref="Lock"/>.
/// </summary>
public class Device : SysfsDirectory, IUeventSource, IListed<Device>
{
    private static readonly AttributeTable Standard = new(
    [
        new SysfsAttribute<Device>(
            "uevent",
            SysfsMode.ReadWrite,
            show: static (_, device, text) =>
            {
                UeventAttribute.Show(device, text);
                return new ValueTask<Errno>(Errno.Ok);
            },
            store: static (_, device, text) =>
                new ValueTask<Errno>(UeventAttribute.Store(device.Model.Uevents, device, text.Span))),
    ]);

    private readonly DeviceLockClasses _classes;
    private Guarded<Driver?> _driver;
    private Shared<DriverFileSet?> _driverFiles;
    private Shared<Driver?> _linkedDriver;
    private Shared<Bus?> _bus;
    private Shared<bool> _isRegistered;
    private ListLink<Device> _link;

    /// <summary>Makes a device that is not registered yet.</summary>
    /// <param name="model">The machine's device model.</param>
    /// <param name="name">Name of the device.</param>
    /// <param name="parent">The directory it will be in.</param>
    /// <param name="classes">Classes of its locks.</param>
    public Device(DeviceModel model, string name, SysfsDirectory parent, DeviceLockClasses classes) : base(name, parent, classes.Files)
    {
        Model = model;
        _classes = classes;
        Lock = new KernelMutex(classes.Lock, owner: this);
    }

    /// <summary>The machine's device model.</summary>
    public DeviceModel Model { get; }

    // device_lock, L4: outside guests_lock and all that follows. Guards Driver.

    /// <summary>The device's lock; held over probe and remove.</summary>
    public KernelMutex Lock { get; }

    /// <summary>The driver, from before its probe until after its remove; null when unbound.</summary>
    public Driver? Driver => _driver.Glance(Runtime, this, DeviceGuards.Driver);

    /// <summary>Reads the driver to decide something, under the device's lock.</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public Driver? ReadDriver(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0) =>
        _driver.Read(task, this, DeviceGuards.Driver, file, line);

    internal void SetDriver(KernelTask task, Driver? driver) => _driver.Write(task, this, DeviceGuards.Driver, driver);

    /// <summary>The driver that the <c>driver</c> link shows: it goes before the driver's remove runs.</summary>
    public Driver? LinkedDriver
    {
        get => _linkedDriver.Read(Runtime, this, DeviceFields.LinkedDriver);
        internal set => _linkedDriver.Write(Runtime, this, DeviceFields.LinkedDriver, value);
    }

    /// <summary>The bus, null for a root device.</summary>
    public Bus? Bus
    {
        get => _bus.Read(Runtime, this, DeviceFields.Bus);
        internal set => _bus.Write(Runtime, this, DeviceFields.Bus, value);
    }

    /// <summary>Whether the device is in the tree.</summary>
    public bool IsRegistered
    {
        get => _isRegistered.Read(Runtime, this, DeviceFields.IsRegistered);
        internal set => _isRegistered.Write(Runtime, this, DeviceFields.IsRegistered, value);
    }

    /// <inheritdoc/>
    SysfsDirectory IUeventSource.Directory => this;

    /// <inheritdoc/>
    public virtual string? Subsystem => Bus?.Name;

    /// <summary>DEVTYPE of the device's uevents, null if it has none.</summary>
    public virtual string? DeviceType => null;

    /// <summary>
    /// Whether parent and bus find the device by its name without a table of names, as an AP card finds its queues.
    /// </summary>
    protected internal virtual bool IsFoundByItsParent => false;

    // The place in the bus's list.
    ref ListLink<Device> IListed<Device>.Link => ref _link;

    // The files of one binding, with their own references: who has found a file of a former driver does not get into it.
    private sealed record DriverFileSet(AttributeTable Table, ActiveReferences References);

    private DriverFileSet? DriverFiles => _driverFiles.Read(Runtime, this, DeviceFields.DriverFiles);

    /// <inheritdoc/>
    public void AddVariables(ICollection<KeyValuePair<string, string>> variables)
    {
        AddNodeVariables(variables);
        if (DeviceType is { } type)
            variables.Add(new("DEVTYPE", type));
        if (LinkedDriver is { } driver)
            variables.Add(new("DRIVER", driver.Name));
        AddBusVariables(variables);
    }

    /// <inheritdoc/>
    public override bool TryFind(ReadOnlySpan<char> name, out SysfsEntry entry)
    {
        if (base.TryFind(name, out entry))
            return true;
        if (Standard.Find(name) is { } standard && !Files.IsDeleted(Runtime))
            entry = SysfsEntry.File(standard, this, Files);
        else if (name is "subsystem" && SubsystemDirectory is { } subsystem)
            entry = SysfsEntry.LinkTo("subsystem", subsystem);
        else if (name is "driver" && LinkedDriver is { } driver)
            entry = SysfsEntry.LinkTo("driver", driver);
        else if (name is "power")
            entry = SysfsEntry.Of(new PowerDirectory(this));
        else if (DriverFiles is { } files && files.Table.Find(name) is { } attribute && !files.References.IsDeleted(Runtime))
            entry = SysfsEntry.File(attribute, this, files.References);
        else
            return false;
        return true;
    }

    /// <inheritdoc/>
    public override IEnumerable<SysfsEntry> List()
    {
        foreach (SysfsEntry entry in base.List())
            yield return entry;
        if (DriverFiles is { } files && !files.References.IsDeleted(Runtime))
        {
            foreach (SysfsAttribute attribute in files.Table.Attributes.ToArray())
                yield return SysfsEntry.File(attribute, this, files.References);
        }
        foreach (SysfsAttribute attribute in Standard.Attributes.ToArray())
            yield return SysfsEntry.File(attribute, this, Files);
        if (SubsystemDirectory is { } subsystem)
            yield return SysfsEntry.LinkTo("subsystem", subsystem);
        if (LinkedDriver is { } driver)
            yield return SysfsEntry.LinkTo("driver", driver);
        yield return SysfsEntry.Of(new PowerDirectory(this));
    }

    /// <summary>Adds the files that the device has while its driver is bound. Called by a driver's probe.</summary>
    /// <param name="task">The binding task.</param>
    /// <param name="attributes">The files.</param>
    public void AddDriverAttributes(KernelTask task, AttributeTable attributes) => _driverFiles.Write(
        task.Runtime, this, DeviceFields.DriverFiles, new DriverFileSet(attributes, new ActiveReferences(_classes.DriverFiles, owner: this)));

    /// <summary>
    /// Removes the driver's files and waits for running operations on them. The caller must hold no lock that these
    /// operations take (invariant I29).
    /// </summary>
    /// <param name="task">The removing task.</param>
    public async ValueTask RemoveDriverAttributesAsync(KernelTask task)
    {
        if (_driverFiles.Exchange(task.Runtime, this, DeviceFields.DriverFiles, null) is not { } gone)
            return;
        foreach (SysfsAttribute attribute in gone.Table.Attributes)
            Model.Tree.Gone(this, attribute.Name);
        await gone.References.DeleteAsync(task);
        gone.References.Retire(task);
    }

    /// <summary>Directory that the <c>subsystem</c> link shows, null for none.</summary>
    protected virtual SysfsDirectory? SubsystemDirectory => Bus;

    /// <summary>Adds MAJOR, MINOR and DEVNAME for devices that have a node.</summary>
    /// <param name="variables">Where to add.</param>
    protected virtual void AddNodeVariables(ICollection<KeyValuePair<string, string>> variables)
    {
    }

    /// <summary>Adds the variables that the bus or the type defines.</summary>
    /// <param name="variables">Where to add.</param>
    protected virtual void AddBusVariables(ICollection<KeyValuePair<string, string>> variables)
    {
    }
}
