using System.Runtime.CompilerServices;
using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Devices.Events;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Work;

namespace Apvirt.Ap.Bus;

/// <summary>
/// The AP bus: cards and queues found by scanning, the masks that say which queues the host's own drivers have, and the
/// rules of who may bind what (ap-bus.md).
/// </summary>
/// <remarks>
/// Lock order, outermost first: ap_scan_mutex, device_lock, ap_perms_mutex, then what drivers take (locking.md §3). The
/// scan holds ap_scan_mutex over the callbacks of drivers and over adding and removing devices. ap_perms_mutex is held
/// over the in-use question but released before queues are bound anew. Cards live from the scan that finds them to the
/// scan that misses them; a queue never outlives its card.
/// </remarks>
public sealed partial class ApBus : Devices.Core.Bus, IUeventSource
{
    internal static readonly LockClass ScanClass = new("ap_scan_mutex", LockKind.Mutex);
    internal static readonly LockClass PermsClass = new("ap_perms_mutex", LockKind.Mutex);

    private readonly ApBusOptions _options;

    private readonly SharedTable<ApCard> _cards;
    private readonly KernelTimer _scanTimer;
    private Guarded<QciInfo> _configuration;
    private Guarded<ApMask> _apmask;
    private Guarded<ApMask> _aqmask;
    private Shared<int> _defaultDomain;
    private Shared<int> _configTimeSeconds;
    private Shared<long> _pollTimeoutNanoseconds;
    private Shared<bool> _pollThread;
    private Shared<long> _scanCount;
    private Shared<bool> _bindingsLatch;
    private Shared<long> _bindingsCompleteCount;
    private Shared<int> _queueCount;
    private Shared<int> _boundCount;

    /// <summary>Makes the bus and its directories; nothing is scanned yet.</summary>
    /// <param name="model">The machine's device model.</param>
    /// <param name="instructions">The AP instructions that the machine has.</param>
    /// <param name="firmware">What configures adapters on and off; null if the machine cannot.</param>
    /// <param name="options">Boot parameters.</param>
    public ApBus(DeviceModel model, IApInstructions instructions, IApFirmware? firmware, ApBusOptions options)
        : base(model, "ap")
    {
        _options = options;
        Instructions = instructions;
        Firmware = firmware;
        HasQci = instructions.TryQueryConfiguration(out QciInfo info);
        _configuration = new(HasQci ? info with { Apm = ApMask.None, Aqm = ApMask.None, Adm = ApMask.None } : QciInfo.Empty);
        MaxAdapter = info.HasApxa && info.MaxAdapter > 0 ? info.MaxAdapter : QciInfo.MaxAdapterWithoutApxa;
        MaxDomain = info.HasApxa && info.MaxDomain > 0 ? info.MaxDomain : QciInfo.MaxDomainWithoutApxa;
        _apmask = new(BootMask(options.ApMaskParameter));
        _aqmask = new(BootMask(options.AqMaskParameter));
        _defaultDomain = new(options.DefaultDomain);
        _configTimeSeconds = new(options.ConfigTimeSeconds);
        _pollTimeoutNanoseconds = new(options.PollTimeoutNanoseconds);
        _pollThread = new(options.PollThread && !options.UseInterrupts);
        _cards = new(this, ApFields.Cards, ApMask.Size);
        ScanMutex = new KernelMutex(ScanClass, owner: this);
        PermsMutex = new KernelMutex(PermsClass, owner: this);
        DevicesRoot = new RootDevice(model, "ap", "ap");
        model.Tree.Devices.Add(DevicesRoot);
        Poller = new QueuePoller(this);
        _scanTimer = new KernelTimer(model.Runtime, "ap_scan", TimerScanAsync);
        ModuleDirectories.AddBusModules(this, options);
    }

    /// <summary>The AP instructions that the bus issues.</summary>
    public IApInstructions Instructions { get; }

    /// <summary>What configures adapters on and off; null if the machine cannot.</summary>
    public IApFirmware? Firmware { get; }

    /// <summary>Whether the machine has PQAP(QCI).</summary>
    public bool HasQci { get; }

    /// <summary>Highest adapter id; fixed when the bus is made.</summary>
    public int MaxAdapter { get; }

    /// <summary>Highest domain id; fixed when the bus is made.</summary>
    public int MaxDomain { get; }

    /// <summary>The configuration that the last scan saw.</summary>
    public QciInfo Configuration => _configuration.Glance(Runtime, this, ApGuards.Configuration);

    /// <summary><c>/sys/devices/ap</c></summary>
    public RootDevice DevicesRoot { get; }

    // L2, outermost. Held over a scan from begin to end; guards _configuration.
    internal KernelMutex ScanMutex { get; }

    // L5, inside device_lock.

    /// <summary>
    /// ap_perms_mutex: guards the masks. vfio_ap takes it outside all its own locks, for as long as it tests and assigns
    /// (M026).
    /// </summary>
    public KernelMutex PermsMutex { get; }

    /// <summary>Adapters of the default pool, for observers.</summary>
    public ApMask AdapterMask => _apmask.Glance(Runtime, this, ApGuards.Masks);

    /// <summary>Domains of the default pool, for observers.</summary>
    public ApMask DomainMask => _aqmask.Glance(Runtime, this, ApGuards.Masks);

    /// <summary>Default usage domain of the host's own requests, -1 if there is none.</summary>
    public int DefaultDomain
    {
        get => _defaultDomain.Read(Runtime, this, ApFields.DefaultDomain);
        set => _defaultDomain.Write(Runtime, this, ApFields.DefaultDomain, value);
    }

    /// <summary>Seconds between two scans by timer, 5 to 120.</summary>
    public int ConfigTimeSeconds
    {
        get => _configTimeSeconds.Read(Runtime, this, ApFields.ConfigTime);
        private set => _configTimeSeconds.Write(Runtime, this, ApFields.ConfigTime, value);
    }

    /// <summary>Poll timeout in nanoseconds.</summary>
    public long PollTimeoutNanoseconds
    {
        get => _pollTimeoutNanoseconds.Read(Runtime, this, ApFields.PollTimeout);
        set => _pollTimeoutNanoseconds.Write(Runtime, this, ApFields.PollTimeout, value);
    }

    /// <summary>Whether the poll thread runs; never while interrupts are used.</summary>
    public bool PollThread
    {
        get => _pollThread.Read(Runtime, this, ApFields.PollThread);
        set => _pollThread.Write(Runtime, this, ApFields.PollThread, value);
    }

    /// <summary>Whether adapter interrupts are used.</summary>
    public bool UsesInterrupts => _options.UseInterrupts;

    /// <summary>Number of finished scans.</summary>
    public long ScanCount => _scanCount.Read(Runtime, this, ApFields.ScanCount);

    /// <summary>Number of queue devices.</summary>
    public int QueueCount => _queueCount.Read(Runtime, this, ApFields.QueueCount);

    /// <summary>Number of queue devices that have a driver.</summary>
    public int BoundCount => _boundCount.Read(Runtime, this, ApFields.BoundCount);

    /// <inheritdoc/>
    public override AttributeTable Attributes => BusAttributes.Table;

    /// <inheritdoc/>
    SysfsDirectory IUeventSource.Directory => DevicesRoot;

    /// <inheritdoc/>
    string? IUeventSource.Subsystem => "ap";

    internal QueuePoller Poller { get; }

    /// <summary>The queue device of an APQN, null if there is none.</summary>
    /// <param name="apqn">The queue.</param>
    public ApQueue? FindQueue(Apqn apqn) => _cards.Read(Runtime, apqn.Apid)?.FindQueue(apqn.Apqi);

    /// <inheritdoc/>
    public override Device? FindDevice(ReadOnlySpan<char> name)
    {
        if (!Apqn.TryParse(name, out Apqn apqn))
            return base.FindDevice(name);
        return FindQueue(apqn) is { IsRegistered: true } queue && name.SequenceEqual(queue.Name) ? queue : null;
    }

    /// <summary>The queue devices, ascending; one that comes or goes meanwhile may or may not be among them.</summary>
    public IEnumerable<ApQueue> Queues() => _cards.Walk(Runtime).SelectMany(card => card.QueuesByDomain());

    /// <summary>The cards now, ascending.</summary>
    public ApCard[] Cards() => [.. _cards.Walk(Runtime)];

    /// <summary>The masks' words under the lock that guards them.</summary>
    /// <param name="task">The task that holds <see cref="PermsMutex"/>.</param>
    /// <param name="ofAdapters">Whether apmask is meant, not aqmask.</param>
    internal ApMask ReadMask(KernelTask task, bool ofAdapters) => (ofAdapters ? _apmask : _aqmask).Read(task, this, ApGuards.Masks);

    /// <summary>Takes ap_perms_mutex.</summary>
    /// <param name="task">The task.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public ValueTask<ApPermsHeld> LockPermsAsync(KernelTask task, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        ValueTask acquired = PermsMutex.LockAsync(task, file, line);
        return acquired.IsCompletedSuccessfully ? new ValueTask<ApPermsHeld>(new ApPermsHeld(this, task)) : ProveAfterAsync(acquired, task);
    }

    /// <summary>Whether a queue belongs to the default pool.</summary>
    /// <param name="perms">Proof that the masks stand still.</param>
    /// <param name="apqn">The queue.</param>
    public bool IsHostOwned(ApPermsHeld perms, Apqn apqn) =>
        _apmask.Read(perms.Task, this, ApGuards.Masks)[apqn.Apid] && _aqmask.Read(perms.Task, this, ApGuards.Masks)[apqn.Apqi];

    /// <summary>Whether any queue of a matrix belongs to the default pool.</summary>
    /// <param name="perms">Proof that the masks stand still.</param>
    /// <param name="apm">Adapters.</param>
    /// <param name="aqm">Domains.</param>
    public bool OwnsAny(ApPermsHeld perms, in ApMask apm, in ApMask aqm) =>
        apm.Intersects(_apmask.Read(perms.Task, this, ApGuards.Masks)) && aqm.Intersects(_aqmask.Read(perms.Task, this, ApGuards.Masks));

    /// <summary>Sets the scan interval and starts it anew.</summary>
    /// <param name="seconds">5 to 120.</param>
    public void SetConfigTime(int seconds)
    {
        ConfigTimeSeconds = seconds;
        RearmScanTimer();
    }

    /// <inheritdoc/>
    void IUeventSource.AddVariables(ICollection<KeyValuePair<string, string>> variables)
    {
    }

    /// <inheritdoc/>
    public override async ValueTask RegisterDriverAsync(KernelTask task, Driver driver)
    {
        await base.RegisterDriverAsync(task, driver);
        CheckBindingsComplete();
    }

    /// <inheritdoc/>
    protected override bool Matches(Device device, Driver driver) =>
        device is ApDevice { HwType: >= ApQueueInfo.OldestSupportedType and <= ApQueueInfo.NewestKnownType }
        && driver is ApDriver apDriver && apDriver.TakesQueues == device is ApQueue;

    /// <inheritdoc/>
    protected override async ValueTask<Errno> ProbeDeviceAsync(KernelTask task, Device device, Driver driver)
    {
        if (device is not ApQueue queue)
        {
            OpenBindingsLatch();
            return await driver.ProbeAsync(task, device);
        }
        ApPermsHeld perms = await LockPermsAsync(task);
        bool isHostOwned = IsHostOwned(perms, queue.Apqn);
        perms.Release();
        if (isHostOwned != ((ApDriver)driver).IsDefault)
            return Errno.ENODEV;
        OpenBindingsLatch();
        Errno error = await driver.ProbeAsync(task, device);
        if (error == Errno.Ok)
            Count(ref _boundCount, ApFields.BoundCount, 1);
        return error;
    }

    /// <inheritdoc/>
    protected override async ValueTask RemoveFromDeviceAsync(KernelTask task, Device device, Driver driver)
    {
        if (device is not ApQueue queue)
        {
            await driver.RemoveAsync(task, device);
            return;
        }
        QueueMachine.Flush(task, queue);
        queue.DeviceState = QueueDeviceState.Shutdown;
        await driver.RemoveAsync(task, device);
        Instructions.Zapq(queue.Apqn);
        queue.DeviceState = QueueDeviceState.Uninitiated;
        Count(ref _boundCount, ApFields.BoundCount, -1);
    }

    private async ValueTask<ApPermsHeld> ProveAfterAsync(ValueTask acquired, KernelTask task)
    {
        await acquired;
        return new ApPermsHeld(this, task);
    }

    private static ApMask BootMask(string? parameter)
    {
        if (parameter is null)
            return ApMask.All;
        ApMask none = ApMask.None;
        return MaskText.Parse(System.Text.Encoding.ASCII.GetBytes(parameter), none, out ApMask mask) == Errno.Ok ? mask : none;
    }

    private void Count(ref Shared<int> count, SharedField field, int more) =>
        count.Update(Runtime, this, field, more, static (count, more) => count + more);

    // What is bound changes: it is to be told again once everything is.
    private void OpenBindingsLatch() => _bindingsLatch.Write(Runtime, this, ApFields.BindingsLatch, false);

    private void CheckBindingsComplete()
    {
        if (ScanCount == 0 || _bindingsLatch.Read(Runtime, this, ApFields.BindingsLatch) || QueueCount != BoundCount
            || !_bindingsLatch.TryChange(Runtime, this, ApFields.BindingsLatch, from: false, to: true))
        {
            return;
        }
        long times = _bindingsCompleteCount.Update(Runtime, this, ApFields.BindingsCompleteCount, 1, static (count, more) => count + more);
        Model.Uevents.Send(
            this,
            "change",
            [
                new("BINDINGS", "complete"),
                new("COMPLETECOUNT", times.ToString(System.Globalization.CultureInfo.InvariantCulture)),
            ]);
    }
}
