using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Ap.Hardware;

/// <summary>What is behind the gate of <see cref="CryptoHardware"/>: the configuration, the adapters, and what instructions do to them.</summary>
/// <param name="time">Clock for queues that are busy for a while.</param>
/// <param name="configuration">What QCI answers first.</param>
[OwnedBy("The gate of CryptoHardware, which nobody reaches it without.")]
internal sealed class HardwareState(TimeProvider time, QciInfo configuration)
{
    // Those of the configuration, at hand for each instruction.
    private ApMask _apm = configuration.Apm;
    private ApMask _aqm = configuration.Aqm;

    internal QciInfo Configuration { get; private set; } = configuration;

    internal AdapterType?[] Types { get; } = new AdapterType?[ApMask.Size];

    // Made when they are first used: most machines never touch most of what could be plugged in.
    internal SimulatedAdapter?[] Adapters { get; } = new SimulatedAdapter?[ApMask.Size];

    // How queues were armed by vfio_ap; whether they still are is in their state.
    internal Dictionary<Apqn, AqicControl> Armed { get; } = [];

    internal bool HasArmedQueues { get; private set; }

    internal TimeSpan ResetTime { get; set; }

    internal TimeSpan RequestTime { get; set; }

    internal long LostRequests { get; private set; }

    internal void Configure(in ApMask apm, in ApMask aqm, in ApMask adm)
    {
        Disarm(_apm & ~apm, _aqm);
        Disarm(_apm, _aqm & ~aqm);
        Configuration = Configuration with { Apm = apm, Aqm = aqm, Adm = adm };
        _apm = apm;
        _aqm = aqm;
    }

    internal ApStatus Tapq(Apqn apqn, ApIssuer issuer, out ApQueueInfo info)
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

    internal ApStatus Reset(Apqn apqn, ApIssuer issuer, bool zeroize)
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

    internal ApStatus Aqic(Apqn apqn, ApIssuer issuer, in AqicControl control)
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
            Armed[apqn] = control;
        else
            Armed.Remove(apqn);
        HasArmedQueues |= control.Enable && issuer == ApIssuer.VfioAp;
        return new ApStatus(ApResponse.Normal, control.Enable);
    }

    internal ApStatus Enqueue(Apqn apqn, ulong psmid, ReadOnlySpan<byte> message)
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

    internal ApStatus Dequeue(Apqn apqn, out ulong psmid, out ReadOnlyMemory<byte> message)
    {
        psmid = 0;
        message = default;
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

    // A queue that leaves the configuration, is deconfigured or stops cannot interrupt, and comes back disarmed.
    internal void Disarm(in ApMask adapters, in ApMask domains)
    {
        foreach (int apid in adapters)
        {
            if (Adapters[apid] is not { } adapter)
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

    internal bool TryGet(Apqn apqn, [NotNullWhen(true)] out SimulatedAdapter? adapter)
    {
        adapter = _apm[apqn.Apid] && _aqm[apqn.Apqi] ? Adapter(apqn.Apid) : null;
        return adapter is not null;
    }

    internal SimulatedAdapter? Adapter(int apid) =>
        Adapters[apid] ?? (Types[apid] is { } type ? Adapters[apid] = new SimulatedAdapter(type) : null);

    internal long Ticks() => (long)(time.GetTimestamp() * ((double)TimeSpan.TicksPerSecond / time.TimestampFrequency));
}
