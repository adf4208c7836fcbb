using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
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
    private readonly KernelRuntime _runtime;
    private readonly KernelTimer _timer;
    private readonly SharedState<Polled> _polled;

    internal QueuePoller(ApBus bus)
    {
        _bus = bus;
        _runtime = bus.Model.Runtime;
        _timer = new KernelTimer(_runtime, "ap_poll", PollAsync);
        _polled = new(bus, ApFields.Polled, new Polled([], IsSet: false));
    }

    internal void Watch(ApQueue queue)
    {
        if (!QueueMachine.NeedsPoll(queue))
            return;
        bool isNew = queue.BeginPolling();
        using (SharedState<Polled>.Section section = _polled.Enter(_runtime, AccessKind.Write))
        {
            if (isNew)
                section.Value.Queues.Add(queue);
            if (section.Value.IsSet)
                return;
            section.Value = section.Value with { IsSet = true };
        }
        _timer.Set(queue.MachineState is QueueMachineState.Working or QueueMachineState.Full
            ? TimeSpan.FromTicks(Math.Max(1, _bus.PollTimeoutNanoseconds / 100))
            : ResetInterval);
    }

    private async ValueTask PollAsync(KernelTask task)
    {
        foreach (ApQueue queue in TakeDue())
        {
            queue.EndPolling();
            await QueueMachine.StepAsync(task, queue);
            Watch(queue);
        }
    }

    private List<ApQueue> TakeDue()
    {
        using SharedState<Polled>.Section section = _polled.Enter(_runtime, AccessKind.Write);
        List<ApQueue> due = section.Value.Queues;
        section.Value = new Polled([], IsSet: false);
        return due;
    }

    [OwnedBy("The poller's state; a list that was taken out of it is the taker's.")]
    private readonly record struct Polled(List<ApQueue> Queues, bool IsSet);
}
