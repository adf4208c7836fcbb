using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Section = Apvirt.Kernel.Sharing.SharedState<Apvirt.Ap.Hardware.HardwareState>.Section;

namespace Apvirt.Ap.Hardware;

/// <summary>
/// The crypto hardware of one machine: what a service element would configure, and what the AP instructions do to it.
/// It has no locks of the kernel; a gate of its own makes each instruction and each change of the configuration one step.
/// </summary>
public sealed partial class CryptoHardware
{
    private readonly KernelRuntime _runtime;

    // Makes instructions and changes atomic; held for nanoseconds, never across a call. Not needed while all tasks share a thread.
    private readonly SharedState<HardwareState> _state;

    /// <summary>Makes hardware without adapters.</summary>
    /// <param name="runtime">Clock for queues that are busy for a while, and whether callers share a thread.</param>
    /// <param name="configuration">What QCI answers first.</param>
    public CryptoHardware(KernelRuntime runtime, QciInfo configuration)
    {
        _runtime = runtime;
        _state = new("machine", ApFields.Hardware, new HardwareState(runtime.Time, configuration));
    }

    /// <summary>Whether PQAP(QCI) is installed.</summary>
    public bool HasQci { get; init; } = true;

    /// <summary>Whether the machine can configure adapters on and off (SCLP).</summary>
    public bool CanReconfigure { get; init; } = true;

    /// <summary>How long a reset takes; 0 means that it is done when the instruction ends.</summary>
    public TimeSpan ResetTime
    {
        get
        {
            using Section section = Enter(AccessKind.Read);
            return section.Value.ResetTime;
        }
        set
        {
            using Section section = Enter(AccessKind.Write);
            section.Value.ResetTime = value;
        }
    }

    /// <summary>How long a request takes; 0 means that its reply is there at once.</summary>
    public TimeSpan RequestTime
    {
        get
        {
            using Section section = Enter(AccessKind.Read);
            return section.Value.RequestTime;
        }
        set
        {
            using Section section = Enter(AccessKind.Write);
            section.Value.RequestTime = value;
        }
    }

    /// <summary>Requests that a reset threw away before their reply was taken.</summary>
    public long LostRequests
    {
        get
        {
            using Section section = Enter(AccessKind.Write);
            return section.Value.LostRequests;
        }
    }

    /// <summary>What QCI answers now.</summary>
    public QciInfo Configuration
    {
        get
        {
            using Section section = Enter(AccessKind.Read);
            return section.Value.Configuration;
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
        using Section section = Enter(AccessKind.Write);
        (section.Value.Types[apid], section.Value.Adapters[apid]) = (type, null);
    }

    /// <summary>The kind of an adapter, null if there is none.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public AdapterType? TypeOf(int apid)
    {
        using Section section = Enter(AccessKind.Read);
        return section.Value.Types[apid];
    }

    /// <summary>Whether an adapter is configured on, and whether it is checkstopped.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    public (bool IsConfigured, bool IsCheckstopped) StateOf(int apid)
    {
        using Section section = Enter(AccessKind.Read);
        return section.Value.Adapter(apid) is { } adapter ? (adapter.IsConfigured, adapter.IsCheckstopped) : (false, false);
    }

    /// <summary>Changes the configuration; the bus notices at its next scan.</summary>
    /// <param name="apm">Adapters.</param>
    /// <param name="aqm">Usage domains.</param>
    /// <param name="adm">Control domains.</param>
    public void Configure(in ApMask apm, in ApMask aqm, in ApMask adm)
    {
        using Section section = Enter(AccessKind.Write);
        section.Value.Configure(apm, aqm, adm);
    }

    /// <summary>Configures an adapter on or off, as SCLP or the service element does (ap-bus.md §7).</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    /// <param name="isConfigured">On or off.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool SetConfigured(int apid, bool isConfigured)
    {
        using Section section = Enter(AccessKind.Write);
        if (section.Value.Adapter(apid) is not { } adapter)
            return false;
        adapter.IsConfigured = isConfigured;
        if (!isConfigured)
            section.Value.Disarm(ApMask.Of(apid), ApMask.All);
        return true;
    }

    /// <summary>Stops an adapter for good, or heals it.</summary>
    /// <param name="apid">Adapter, 0 to 255.</param>
    /// <param name="isCheckstopped">Stopped or healed.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool SetCheckstopped(int apid, bool isCheckstopped)
    {
        using Section section = Enter(AccessKind.Write);
        if (section.Value.Adapter(apid) is not { } adapter)
            return false;
        adapter.IsCheckstopped = isCheckstopped;
        if (isCheckstopped)
            section.Value.Disarm(ApMask.Of(apid), ApMask.All);
        return true;
    }

    /// <summary>Sets the response code that a single queue gives to every instruction.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="code">00, 03 or 04.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool SetQueueCode(Apqn apqn, ApResponse code)
    {
        using Section section = Enter(apqn, AccessKind.Write);
        if (section.Value.Adapter(apqn.Apid) is not { } adapter)
            return false;
        ref QueueState state = ref adapter.State(apqn.Apqi);
        state.Code = code;
        state.InterruptEnabled &= code == ApResponse.Normal;
        return true;
    }

    /// <summary>Injects the responses of the next instructions that the vfio_ap driver issues to a queue.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="instruction">The instruction.</param>
    /// <param name="codes">The responses in order; empty takes an earlier injection back.</param>
    /// <param name="isSticky">Whether the last one stays for ever.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool Inject(Apqn apqn, ApInstruction instruction, ApResponse[] codes, bool isSticky)
    {
        using Section section = Enter(apqn, AccessKind.Write);
        if (section.Value.Adapter(apqn.Apid) is not { } adapter)
            return false;
        adapter.Extras(apqn.Apqi).Faults[(int)instruction] = codes.Length == 0 ? null : new InjectedResponses(codes, isSticky);
        return true;
    }

    /// <summary>Makes a queue answer 05 (busy) for a while.</summary>
    /// <param name="apqn">The queue.</param>
    /// <param name="duration">How long from now.</param>
    /// <returns>False if there is no such adapter.</returns>
    public bool SetBusy(Apqn apqn, TimeSpan duration)
    {
        using Section section = Enter(apqn, AccessKind.Write);
        if (section.Value.Adapter(apqn.Apid) is not { } adapter)
            return false;
        adapter.Extras(apqn.Apqi).BusyUntil = section.Value.Ticks() + duration.Ticks;
        return true;
    }

    /// <summary>The instructions as one issuer has them.</summary>
    /// <param name="issuer">The issuer.</param>
    public IApInstructions InstructionsFor(ApIssuer issuer) => new HardwareInstructions(this, issuer);

    internal ApStatus Tapq(Apqn apqn, ApIssuer issuer, out ApQueueInfo info)
    {
        using Section section = Enter(apqn, AccessKind.Write);
        return section.Value.Tapq(apqn, issuer, out info);
    }

    internal ApStatus Reset(Apqn apqn, ApIssuer issuer, bool zeroize)
    {
        using Section section = Enter(apqn, AccessKind.Write);
        return section.Value.Reset(apqn, issuer, zeroize);
    }

    internal ApStatus Aqic(Apqn apqn, ApIssuer issuer, in AqicControl control)
    {
        using Section section = Enter(apqn, AccessKind.Write);
        return section.Value.Aqic(apqn, issuer, control);
    }

    internal ApStatus Enqueue(Apqn apqn, ulong psmid, ReadOnlySpan<byte> message)
    {
        using Section section = Enter(apqn, AccessKind.Write);
        return section.Value.Enqueue(apqn, psmid, message);
    }

    internal ApStatus Dequeue(Apqn apqn, out ulong psmid, out ReadOnlyMemory<byte> message)
    {
        using Section section = Enter(apqn, AccessKind.Write);
        return section.Value.Dequeue(apqn, out psmid, out message);
    }

    // Uses or changes what all queues share, or all of them.
    private Section Enter(AccessKind kind) => _state.Enter(_runtime, kind);

    // Uses or changes one queue.
    private Section Enter(Apqn apqn, AccessKind kind) => _state.Enter(_runtime, apqn, kind);
}
