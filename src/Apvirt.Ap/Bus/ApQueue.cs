using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;

namespace Apvirt.Ap.Bus;

/// <summary>What the bus holds of a queue device (ap-bus.md §9).</summary>
public enum QueueDeviceState
{
    /// <summary>The bus does nothing with it: it was removed from a driver.</summary>
    Uninitiated,
    /// <summary>It is in use.</summary>
    Operating,
    /// <summary>It is being removed from its driver.</summary>
    Shutdown,
    /// <summary>It failed, was deconfigured or checkstopped.</summary>
    Error,
}

/// <summary>State of the machine that the bus drives a queue with (ap-bus.md §9).</summary>
public enum QueueMachineState
{
    /// <summary>A reset is to be started.</summary>
    ResetStart,
    /// <summary>A reset is under way.</summary>
    ResetWait,
    /// <summary>Interrupts are being enabled.</summary>
    SetIrqWait,
    /// <summary>Ready, nothing to do.</summary>
    Idle,
    /// <summary>Requests are in the hardware.</summary>
    Working,
    /// <summary>The hardware takes no more requests.</summary>
    Full,
}

/// <summary>A queue as a device, <c>/sys/devices/ap/cardxx/xx.yyyy</c> (sysfs.md §3).</summary>
public sealed class ApQueue : ApDevice
{
    private static readonly DeviceLockClasses Classes = new("apq");

    private bool _isOnline = true;
    private QueueMachineState _machineState = QueueMachineState.ResetStart;
    private QueueDeviceState _deviceState = QueueDeviceState.Operating;

    internal ApQueue(ApCard card, Apqn apqn)
        : base(card.ApBus, apqn.ToString(), card, Classes, card.HwType)
    {
        Card = card;
        Apqn = apqn;
    }

    /// <summary>The card.</summary>
    public ApCard Card { get; }

    /// <summary>The queue's number.</summary>
    public Apqn Apqn { get; }

    /// <summary>What the bus holds of it.</summary>
    public QueueDeviceState DeviceState
    {
        get => Shared(ref _deviceState, "state", isWrite: false);
        internal set => Shared(ref _deviceState, "state", isWrite: true) = value;
    }

    /// <summary>Where the machine is.</summary>
    public QueueMachineState MachineState
    {
        get => Shared(ref _machineState, "state", isWrite: false);
        internal set => Shared(ref _machineState, "state", isWrite: true) = value;
    }

    /// <summary>Last response code that was an error.</summary>
    public ApResponse LastError { get; internal set; }

    /// <summary>Requests served since the device was made or the counter was written.</summary>
    public long RequestCount { get; set; }

    /// <summary>Software switch of the queue driver.</summary>
    public bool IsOnline
    {
        get => Shared(ref _isOnline, "state", isWrite: false);
        set => Shared(ref _isOnline, "state", isWrite: true) = value;
    }

    /// <summary>Requests of the host's own driver; null while it has none.</summary>
    public HostRequests? Requests { get; internal set; }

    /// <summary>Whether the bus polls the queue because its machine waits for something.</summary>
    internal bool IsPolled { get; set; }

    /// <inheritdoc/>
    public override string? DeviceType => "ap_queue";

    /// <inheritdoc/>
    public override AttributeTable Attributes => QueueAttributes.Table;

    /// <inheritdoc/>
    protected override bool IsFoundByItsParent => true;

    /// <inheritdoc/>
    protected override void AddBusVariables(ICollection<KeyValuePair<string, string>> variables) =>
        variables.Add(new("MODE", ModeName(Card.Info.Mode)));
}
