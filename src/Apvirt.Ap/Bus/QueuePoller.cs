using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Work;

namespace Apvirt.Ap.Bus;

/// <summary>
/// Looks again at the queues whose machine waits for the hardware: 25 times a second during a reset, at the poll timeout
/// while requests are under way (ap-bus.md §9, §10). One timer for the whole bus.
/// </summary>
internal sealed class QueuePoller
{
    private static readonly TimeSpan ResetInterval = TimeSpan.FromMilliseconds(40);

    private readonly ApBus _bus;
    private readonly KernelTimer _timer;

    // Guards _watched and _isSet; a leaf.
    private readonly Lock _gate = new();
    private List<ApQueue> _watched = [];
    private bool _isSet;

    internal QueuePoller(ApBus bus)
    {
        _bus = bus;
        _timer = new KernelTimer(bus.Model.Runtime, "ap_poll", PollAsync);
    }

    internal void Watch(ApQueue queue)
    {
        if (!QueueMachine.NeedsPoll(queue))
            return;
        lock (_gate)
        {
            if (!queue.IsPolled)
            {
                queue.IsPolled = true;
                _watched.Add(queue);
            }
            if (_isSet)
                return;
            _isSet = true;
        }
        _timer.Set(queue.MachineState is QueueMachineState.Working or QueueMachineState.Full
            ? TimeSpan.FromTicks(Math.Max(1, _bus.PollTimeoutNanoseconds / 100))
            : ResetInterval);
    }

    private async ValueTask PollAsync(KernelTask task)
    {
        List<ApQueue> due;
        lock (_gate)
        {
            due = _watched;
            _watched = [];
            _isSet = false;
        }
        foreach (ApQueue queue in due)
        {
            queue.IsPolled = false;
            await QueueMachine.StepAsync(task, queue);
            Watch(queue);
        }
    }
}
