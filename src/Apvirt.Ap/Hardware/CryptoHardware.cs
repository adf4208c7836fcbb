using System.Diagnostics;
using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Ap.Hardware;

/// <summary>
/// The crypto hardware of one machine: what a service element would configure, and what the AP instructions do to it.
/// It has no locks of the kernel; its own gate makes each instruction and each change of the configuration one step.
/// </summary>
public sealed partial class CryptoHardware
{
    // Makes instructions and changes atomic; held for nanoseconds, never across a call. Not needed while all tasks share a thread.
    private readonly HardwareGate _gate;
    private readonly TimeProvider _time;
    private readonly AdapterType?[] _types = new AdapterType?[ApMask.Size];

    // How queues were armed by vfio_ap; whether they still are is in their state.
    private readonly Dictionary<Apqn, AqicControl> _armed = [];

    // Made when they are first used: most machines never touch most of what could be plugged in.
    private readonly SimulatedAdapter?[] _adapters = new SimulatedAdapter?[ApMask.Size];
    private QciInfo _configuration;
    private ApMask _apm;
    private ApMask _aqm;

    /// <summary>Makes hardware without adapters.</summary>
    /// <param name="runtime">Clock for queues that are busy for a while, and whether callers share a thread.</param>
    /// <param name="configuration">What QCI answers first.</param>
    public CryptoHardware(KernelRuntime runtime, QciInfo configuration)
    {
        _time = runtime.Time;
        _gate = new HardwareGate(runtime);
        _configuration = configuration;
        _apm = configuration.Apm;
        _aqm = configuration.Aqm;
    }

    /// <summary>Whether PQAP(QCI) is installed.</summary>
    public bool HasQci { get; init; } = true;

    /// <summary>Whether the machine can configure adapters on and off (SCLP).</summary>
    public bool CanReconfigure { get; init; } = true;

    /// <summary>How long a reset takes; 0 means that it is done when the instruction ends.</summary>
    public TimeSpan ResetTime { get; set; }

    /// <summary>How long a request takes; 0 means that its reply is there at once.</summary>
    public TimeSpan RequestTime { get; set; }

    /// <summary>Requests that a reset threw away before their reply was taken.</summary>
    public long LostRequests { get; private set; }

    /// <summary>What QCI answers now.</summary>
    public QciInfo Configuration
    {
        get
        {
            using (_gate.Enter(isWrite: false))
                return _configuration;
        }
    }

    /// <summary>Plugs an adapter in. It shows up in QCI only once its bit is in the configuration.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    /// <param name="type">Its kind.</param>
    public void AddAdapter(int apid, AdapterType type) => Replace(apid, type);

    /// <summary>Takes an adapter out of the machine, after it was taken out of the configuration.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public void RemoveAdapter(int apid) => Replace(apid, type: null);

    private void Replace(int apid, AdapterType? type)
    {
        using (_gate.Enter(isWrite: true))
            (_types[apid], _adapters[apid]) = (type, null);
    }

    /// <summary>The kind of an adapter, null if there is none.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public AdapterType? TypeOf(int apid) => _types[apid];

    /// <summary>Whether an adapter is configured on, and whether it is checkstopped.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public (bool IsConfigured, bool IsCheckstopped) StateOf(int apid)
    {
        using (_gate.Enter(isWrite: false))
            return Adapter(apid) is { } adapter ? (adapter.IsConfigured, adapter.IsCheckstopped) : (false, false);
    }

    /// <summary>Changes the configuration; the bus notices at its next scan.</summary>
    /// <param name="apm">Adapters.</param>
    /// <param name="aqm">Usage domains.</param>
    /// <param name="adm">Control domains.</param>
    public void Configure(in ApMask apm, in ApMask aqm, in ApMask adm)
    {
        using (_gate.Enter(isWrite: true))
        {
            Disarm(_apm & ~apm, _aqm);
            Disarm(_apm, _aqm & ~aqm);
            _configuration = _configuration with { Apm = apm, Aqm = aqm, Adm = adm };
            _apm = apm;
            _aqm = aqm;
        }
    }

    /// <summary>Configures an adapter on or off, as SCLP or the service element does (ap-bus.md §7).</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    /// <param name="isConfigured">On or off.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool SetConfigured(int apid, bool isConfigured)
    {
        using (_gate.Enter(isWrite: true))
        {
            if (Adapter(apid) is not { } adapter)
                return false;
            adapter.IsConfigured = isConfigured;
            if (!isConfigured)
                Disarm(ApMask.Of(apid), ApMask.All);
            return true;
        }
    }

    /// <summary>Stops an adapter for good, or heals it.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    /// <param name="isCheckstopped">Stopped or healed.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool SetCheckstopped(int apid, bool isCheckstopped)
    {
        using (_gate.Enter(isWrite: true))
        {
            if (Adapter(apid) is not { } adapter)
                return false;
            adapter.IsCheckstopped = isCheckstopped;
            if (isCheckstopped)
                Disarm(ApMask.Of(apid), ApMask.All);
            return true;
        }
    }

    /// <summary>Sets the response code that a single queue gives to every instruction.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="code">00, 03 or 04.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool SetQueueCode(Apqn apqn, ApResponse code)
    {
        using (_gate.Enter(apqn, isWrite: true))
        {
            if (Adapter(apqn.Apid) is not { } adapter)
                return false;
            ref QueueState state = ref adapter.State(apqn.Apqi);
            state.Code = code;
            state.InterruptEnabled &= code == ApResponse.Normal;
            return true;
        }
    }

    /// <summary>Injects the responses of the next instructions that the vfio_ap driver issues to a queue.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="instruction">The instruction.</param>
    /// <param name="codes">The responses in order; empty takes an earlier injection back.</param>
    /// <param name="isSticky">Whether the last one stays for ever.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool Inject(Apqn apqn, ApInstruction instruction, ApResponse[] codes, bool isSticky)
    {
        using (_gate.Enter(apqn, isWrite: true))
        {
            if (Adapter(apqn.Apid) is not { } adapter)
                return false;
            adapter.Extras(apqn.Apqi).Faults[(int)instruction] = codes.Length == 0 ? null : new InjectedResponses(codes, isSticky);
            return true;
        }
    }

    /// <summary>Makes a queue answer 05 (busy) for a while.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="duration">How long from now.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool SetBusy(Apqn apqn, TimeSpan duration)
    {
        using (_gate.Enter(apqn, isWrite: true))
        {
            if (Adapter(apqn.Apid) is not { } adapter)
                return false;
            adapter.Extras(apqn.Apqi).BusyUntil = Ticks() + duration.Ticks;
            return true;
        }
    }

    /// <summary>The instructions as one issuer has them.</summary>
    /// <param name="issuer">The issuer.</param>
    public IApInstructions InstructionsFor(ApIssuer issuer) => new HardwareInstructions(this, issuer);

    internal ApStatus Tapq(Apqn apqn, ApIssuer issuer, out ApQueueInfo info)
    {
        using (_gate.Enter(apqn, isWrite: true))
        {
            if (!TryGet(apqn, out SimulatedAdapter? adapter))
            {
                info = default;
                return ApResponse.NotAvailable;
            }
            info = adapter.Info;
            ref QueueState state = ref adapter.State(apqn.Apqi);
            ApResponse code = adapter.Code != ApResponse.Normal ? adapter.Code : state.Code;
            if (!state.HasExtras)
                return new ApStatus(code, state.InterruptEnabled);
            QueueExtras extras = adapter.Extras(apqn.Apqi);
            if (!TryFault(extras, ApInstruction.Tapq, issuer, ref code))
                code = OrBusy(extras, code);
            return Describe(code, adapter, ref state, extras);
        }
    }

    internal ApStatus Reset(Apqn apqn, ApIssuer issuer, bool zeroize)
    {
        using (_gate.Enter(apqn, isWrite: true))
        {
            if (!TryGet(apqn, out SimulatedAdapter? adapter))
                return ApResponse.NotAvailable;
            ref QueueState state = ref adapter.State(apqn.Apqi);
            ApResponse code = adapter.Code != ApResponse.Normal ? adapter.Code : state.Code;
            ApStatus status;
            if (state.HasExtras)
            {
                status = ResetWithExtras(adapter, ref state, apqn.Apqi, issuer, zeroize, code);
            }
            else
            {
                if (code == ApResponse.Normal)
                    Clear(adapter, ref state, apqn.Apqi);
                status = new ApStatus(code, state.InterruptEnabled);
            }
            // The host's resets count whatever comes of them, a guest's only if they were done (FORMAT.md queue.resets).
            if (zeroize && (issuer != ApIssuer.Guest || status.Code == ApResponse.Normal))
                Count(ref state, issuer);
            return status;
        }
    }

    internal ApStatus Aqic(Apqn apqn, ApIssuer issuer, in AqicControl control)
    {
        using (_gate.Enter(apqn, isWrite: true))
        {
            if (!TryGet(apqn, out SimulatedAdapter? adapter))
                return ApResponse.NotAvailable;
            ref QueueState state = ref adapter.State(apqn.Apqi);
            ApResponse code = adapter.Code != ApResponse.Normal ? adapter.Code : state.Code;
            if (state.HasExtras)
            {
                QueueExtras extras = adapter.Extras(apqn.Apqi);
                if (TryFault(extras, ApInstruction.Aqic, issuer, ref code))
                    return new ApStatus(code, state.InterruptEnabled);
                code = OrBusy(extras, code);
            }
            if (code != ApResponse.Normal)
                return new ApStatus(code, state.InterruptEnabled);
            if (state.InterruptEnabled == control.Enable)
                return new ApStatus(ApResponse.OtherwiseChanged, state.InterruptEnabled);
            state.InterruptEnabled = control.Enable;
            if (control.Enable && issuer == ApIssuer.VfioAp)
                _armed[apqn] = control;
            else
                _armed.Remove(apqn);
            HasArmedQueues |= control.Enable && issuer == ApIssuer.VfioAp;
            return new ApStatus(ApResponse.Normal, control.Enable);
        }
    }

    internal ApStatus Enqueue(Apqn apqn, ulong psmid, ReadOnlySpan<byte> message)
    {
        using (_gate.Enter(apqn, isWrite: true))
        {
            if (!TryGet(apqn, out SimulatedAdapter? adapter))
                return ApResponse.NotAvailable;
            QueueExtras extras = adapter.Extras(apqn.Apqi);
            ref QueueState state = ref adapter.State(apqn.Apqi);
            ApResponse code = OrBusy(extras, adapter.Code != ApResponse.Normal ? adapter.Code : state.Code);
            if (code != ApResponse.Normal)
                return new ApStatus(code, state.InterruptEnabled);
            if (extras.Requests.Count >= adapter.Type.Depth)
                return new ApStatus(ApResponse.NoPendingReply, state.InterruptEnabled, QueueEmpty: false, QueueFull: true);
            if (message.Length > adapter.Type.MaxMessageBytes)
                return new ApStatus(ApResponse.MessageTooBig, state.InterruptEnabled);
            extras.Requests.Enqueue(new PendingRequest(psmid, ClearKeyProcessor.Execute(message), Ticks() + RequestTime.Ticks));
            return Describe(ApResponse.Normal, adapter, ref state, extras);
        }
    }

    internal ApStatus Dequeue(Apqn apqn, out ulong psmid, out ReadOnlyMemory<byte> message)
    {
        psmid = 0;
        message = default;
        using (_gate.Enter(apqn, isWrite: true))
        {
            if (!TryGet(apqn, out SimulatedAdapter? adapter))
                return ApResponse.NotAvailable;
            QueueExtras extras = adapter.Extras(apqn.Apqi);
            ref QueueState state = ref adapter.State(apqn.Apqi);
            ApResponse code = OrBusy(extras, adapter.Code != ApResponse.Normal ? adapter.Code : state.Code);
            if (code != ApResponse.Normal)
                return new ApStatus(code, state.InterruptEnabled);
            if (!extras.Requests.TryPeek(out PendingRequest? first) || first.ReadyAt > Ticks())
                return Describe(ApResponse.NoPendingReply, adapter, ref state, extras);
            extras.Requests.Dequeue();
            psmid = first.Psmid;
            message = first.Reply;
            return Describe(ApResponse.Normal, adapter, ref state, extras);
        }
    }

    // A queue that leaves the configuration, is deconfigured or stops cannot interrupt, and comes back disarmed.
    private void Disarm(in ApMask adapters, in ApMask domains)
    {
        foreach (int apid in adapters)
        {
            if (_adapters[apid] is not { } adapter)
                continue;
            foreach (int apqi in domains)
            {
                ref QueueState state = ref adapter.State(apqi);
                state.InterruptEnabled = false;
                state.Departures++;
            }
        }
    }

    private static void Count(ref QueueState state, ApIssuer issuer)
    {
        switch (issuer)
        {
            case ApIssuer.Bus:
                state.BusResets++;
                break;
            case ApIssuer.VfioAp:
                state.DriverResets++;
                break;
            case ApIssuer.Guest:
                state.GuestResets++;
                break;
            default:
                throw new UnreachableException();
        }
    }

    private static bool TryFault(QueueExtras extras, ApInstruction instruction, ApIssuer issuer, ref ApResponse code)
    {
        if (issuer != ApIssuer.VfioAp || extras.Faults[(int)instruction]?.TryTake(out ApResponse injected) != true)
            return false;
        code = injected;
        return true;
    }

    private void Clear(SimulatedAdapter adapter, ref QueueState state, int apqi)
    {
        state.InterruptEnabled = false;
        if (ResetTime > TimeSpan.Zero)
            adapter.Extras(apqi).ResettingUntil = Ticks() + ResetTime.Ticks;
    }

    private ApStatus ResetWithExtras(
        SimulatedAdapter adapter, ref QueueState state, int apqi, ApIssuer issuer, bool zeroize, ApResponse code)
    {
        QueueExtras extras = adapter.Extras(apqi);
        if (zeroize && TryFault(extras, ApInstruction.Zapq, issuer, ref code))
            return new ApStatus(code, state.InterruptEnabled);
        code = OrBusy(extras, code);
        if (code == ApResponse.Normal)
        {
            state.InterruptEnabled = false;
            LostRequests += extras.Requests.Count;
            extras.Requests.Clear();
            extras.ResettingUntil = Ticks() + ResetTime.Ticks;
        }
        return Describe(code, adapter, ref state, extras);
    }

    private ApStatus Describe(ApResponse code, SimulatedAdapter adapter, ref readonly QueueState state, QueueExtras extras)
    {
        bool replies = extras.Requests.TryPeek(out PendingRequest? first) && first.ReadyAt <= Ticks();
        return new ApStatus(
            code, state.InterruptEnabled, extras.Requests.Count == 0, replies, extras.Requests.Count >= adapter.Type.Depth);
    }

    private ApResponse OrBusy(QueueExtras extras, ApResponse code)
    {
        if (code != ApResponse.Normal || (extras.BusyUntil | extras.ResettingUntil) == 0)
            return code;
        long now = Ticks();
        return extras.ResettingUntil > now ? ApResponse.ResetInProgress
            : extras.BusyUntil > now ? ApResponse.Busy
            : ApResponse.Normal;
    }

    private bool TryGet(Apqn apqn, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out SimulatedAdapter? adapter)
    {
        adapter = _apm[apqn.Apid] && _aqm[apqn.Apqi] ? Adapter(apqn.Apid) : null;
        return adapter is not null;
    }

    private SimulatedAdapter? Adapter(int apid) =>
        _adapters[apid] ?? (_types[apid] is { } type ? _adapters[apid] = new SimulatedAdapter(type) : null);

    private long Ticks() => (long)(_time.GetTimestamp() * ((double)TimeSpan.TicksPerSecond / _time.TimestampFrequency));
}
