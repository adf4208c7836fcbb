using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Sharing;

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

    // A machine may have 65,536 queues, so none of this is an object of its own.
    private Shared<HostRequests?> _requests;
    private Shared<long> _requestCount;
    private Shared<QueueMachineState> _machineState = new(QueueMachineState.ResetStart);
    private Shared<QueueDeviceState> _deviceState = new(QueueDeviceState.Operating);
    private Shared<ApResponse> _lastError;
    private Shared<bool> _isOnline = new(true);
    private Shared<bool> _isPolled;

    internal ApQueue(ApCard card, Apqn apqn, ApResponse code)
        : base(card.ApBus, apqn.ToString(), card, Classes, card.HwType, code)
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
        get => _deviceState.Read(Runtime, this, ApFields.DeviceState);
        internal set => _deviceState.Write(Runtime, this, ApFields.DeviceState, value);
    }

    /// <summary>Where the machine is.</summary>
    public QueueMachineState MachineState
    {
        get => _machineState.Read(Runtime, this, ApFields.MachineState);
        internal set => _machineState.Write(Runtime, this, ApFields.MachineState, value);
    }

    /// <summary>Last response code that was an error.</summary>
    public ApResponse LastError
    {
        get => _lastError.Read(Runtime, this, ApFields.LastError);
        internal set => _lastError.Write(Runtime, this, ApFields.LastError, value);
    }

    /// <summary>Requests served since the device was made or the counter was written.</summary>
    public long RequestCount
    {
        get => _requestCount.Read(Runtime, this, ApFields.RequestCount);
        set => _requestCount.Write(Runtime, this, ApFields.RequestCount, value);
    }

    /// <summary>Software switch of the queue driver.</summary>
    public bool IsOnline
    {
        get => _isOnline.Read(Runtime, this, ApFields.IsOnline);
        set => _isOnline.Write(Runtime, this, ApFields.IsOnline, value);
    }

    /// <summary>Requests of the host's own driver; null while it has none.</summary>
    public HostRequests? Requests => _requests.Read(Runtime, this, ApFields.Requests);

    /// <inheritdoc/>
    public override string? DeviceType => "ap_queue";

    /// <inheritdoc/>
    public override AttributeTable Attributes => QueueAttributes.Table;

    /// <inheritdoc/>
    protected override bool IsFoundByItsParent => true;

    internal void CountRequest() =>
        _requestCount.Update(Runtime, this, ApFields.RequestCount, 1, static (count, more) => count + more);

    /// <summary>The requests of the host's own driver, which has its first one.</summary>
    internal HostRequests MakeRequests()
    {
        while (true)
        {
            if (Requests is { } requests)
                return requests;
            _requests.TryChange(Runtime, this, ApFields.Requests, null, new HostRequests(Runtime, this));
        }
    }

    /// <summary>The bus begins to poll the queue, because its machine waits for something.</summary>
    /// <returns>False if it polls it already.</returns>
    internal bool BeginPolling() => _isPolled.TryChange(Runtime, this, ApFields.IsPolled, from: false, to: true);

    /// <summary>The bus polls the queue now, and not again unless it is asked to.</summary>
    internal void EndPolling() => _isPolled.Write(Runtime, this, ApFields.IsPolled, false);

    /// <inheritdoc/>
    protected override void AddBusVariables(ICollection<KeyValuePair<string, string>> variables) =>
        variables.Add(new("MODE", ModeName(Card.Info.Mode)));
}
