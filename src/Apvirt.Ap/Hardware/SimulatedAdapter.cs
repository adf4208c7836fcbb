using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Ap.Hardware;

/// <summary>One adapter with its queues.</summary>
[OwnedBy("The gate of CryptoHardware: part of its HardwareState.")]
internal sealed class SimulatedAdapter(AdapterType type)
{
    private Dictionary<int, QueueExtras>? _extras;
    private QueueState[] _states = [];
    private bool _isConfigured = true;
    private bool _isCheckstopped;

    internal AdapterType Type { get; } = type;

    internal ApQueueInfo Info { get; } = type.Info;

    /// <summary>The code that every queue of the adapter gives, or 00 if the queue itself decides.</summary>
    internal ApResponse Code { get; private set; }

    internal bool IsConfigured
    {
        get => _isConfigured;
        set
        {
            _isConfigured = value;
            Decide();
        }
    }

    internal bool IsCheckstopped
    {
        get => _isCheckstopped;
        set
        {
            _isCheckstopped = value;
            Decide();
        }
    }

    internal ref QueueState State(int apqi)
    {
        if (apqi >= _states.Length)
            Array.Resize(ref _states, Math.Min(ApMask.Size, (apqi | 15) + 1));
        return ref _states[apqi];
    }

    internal QueueExtras Extras(int apqi)
    {
        ref QueueState state = ref State(apqi);
        if (state.HasExtras)
            return _extras![apqi];
        state.HasExtras = true;
        QueueExtras extras = new();
        (_extras ??= []).Add(apqi, extras);
        return extras;
    }

    internal void AddResetCounts(int apid, List<(Apqn Apqn, ResetCounts Counts)> counts)
    {
        for (int apqi = 0; apqi < _states.Length; apqi++)
        {
            ref QueueState state = ref _states[apqi];
            if ((state.BusResets | state.DriverResets | state.GuestResets) != 0)
                counts.Add((Apqn.Of(apid, apqi), new ResetCounts(state.BusResets, state.DriverResets, state.GuestResets)));
        }
    }

    internal void ClearResetCounters()
    {
        foreach (ref QueueState state in _states.AsSpan())
        {
            state.BusResets = 0;
            state.DriverResets = 0;
            state.GuestResets = 0;
        }
    }

    private void Decide() => Code =
        !_isConfigured ? ApResponse.Deconfigured
        : _isCheckstopped ? ApResponse.Checkstopped
        : ApResponse.Normal;
}
