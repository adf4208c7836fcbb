using Apvirt.Ap.Architecture;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Ap.Bus;

/// <summary>A request of the host to one of its own queues.</summary>
public sealed class HostRequest
{
    private readonly KernelRuntime _runtime;
    private readonly string _name;
    private Shared<Ending?> _ending;

    internal HostRequest(KernelRuntime runtime, ApQueue queue, ulong psmid, ReadOnlyMemory<byte> message)
    {
        _runtime = runtime;
        _name = $"request {psmid} to {queue.Name}";
        Psmid = psmid;
        Message = message;
        Done = new Completion(runtime, this);
    }

    internal ReadOnlyMemory<byte> Message { get; }

    internal ulong Psmid { get; }

    internal Completion Done { get; }

    /// <summary>EAGAIN if the queue was flushed before the reply came.</summary>
    public Errno Error => _ending.Read(_runtime, this, ApFields.Reply)?.Error ?? Errno.Ok;

    /// <summary>The reply; empty unless <see cref="Error"/> is Ok.</summary>
    public ReadOnlyMemory<byte> Reply => _ending.Read(_runtime, this, ApFields.Reply)?.Reply ?? default;

    /// <inheritdoc/>
    public override string ToString() => _name;

    internal void End(Errno error, ReadOnlyMemory<byte> reply = default)
    {
        _ending.Write(_runtime, this, ApFields.Reply, new Ending(error, reply));
        Done.CompleteAll();
    }

    // One word, so that error and reply are there together.
    private sealed record Ending(Errno Error, ReadOnlyMemory<byte> Reply);
}

/// <summary>Requests of the host's own driver on one queue: those that wait and those in the hardware.</summary>
public sealed class HostRequests
{
    internal static readonly LockClass QueueClass = new("ap queue lock", LockKind.Spin);

    private readonly KernelRuntime _runtime;
    private readonly ApQueue _queue;
    private Guarded<Queue<HostRequest>> _waiting = new([]);
    private Guarded<Dictionary<ulong, HostRequest>> _pending = new([]);
    private Guarded<ulong> _lastPsmid;

    internal HostRequests(KernelRuntime runtime, ApQueue queue)
    {
        _runtime = runtime;
        _queue = queue;
        Lock = new KernelSpinLock(QueueClass, owner: this);
    }

    /// <summary>Requests that wait for room in the hardware.</summary>
    public int WaitingCount => _waiting.Glance(_runtime, this, ApGuards.Requests).Count;

    /// <summary>Requests in the hardware.</summary>
    public int PendingCount => _pending.Glance(_runtime, this, ApGuards.Requests).Count;

    // L29, a leaf; held over the instructions that move requests, so that two who do so do not move the same one.
    internal KernelSpinLock Lock { get; }

    /// <inheritdoc/>
    public override string ToString() => $"requests to {_queue.Name}";

    internal HostRequest Add(KernelTask task, ReadOnlyMemory<byte> message)
    {
        using KernelSpinLock.Section section = Lock.Lock(task);
        HostRequest request = new(_runtime, _queue, ++_lastPsmid.Change(task, this, ApGuards.Requests), message);
        _waiting.Change(task, this, ApGuards.Requests).Enqueue(request);
        return request;
    }

    /// <summary>Takes what replies there are, and gives the hardware what requests it takes.</summary>
    /// <param name="task">The task that drives the queue's machine.</param>
    /// <returns>Where the machine is after that.</returns>
    internal QueueMachineState Move(KernelTask task)
    {
        List<(HostRequest Request, ReadOnlyMemory<byte> Reply)>? replied;
        QueueMachineState state;
        using (KernelSpinLock.Section section = Lock.Lock(task))
        {
            if (IsEmpty(task))
                return QueueMachineState.Idle;
            replied = Take(task);
            state = Give(task);
        }
        foreach ((HostRequest request, ReadOnlyMemory<byte> reply) in replied ?? [])
            request.End(Errno.Ok, reply);
        return state;
    }

    internal void Flush(KernelTask task)
    {
        List<HostRequest> flushed;
        using (KernelSpinLock.Section section = Lock.Lock(task))
        {
            if (IsEmpty(task))
                return;
            Dictionary<ulong, HostRequest> pending = _pending.Change(task, this, ApGuards.Requests);
            Queue<HostRequest> waiting = _waiting.Change(task, this, ApGuards.Requests);
            flushed = [.. pending.Values, .. waiting];
            pending.Clear();
            waiting.Clear();
        }
        foreach (HostRequest request in flushed)
            request.End(Errno.EAGAIN);
    }

    // What changes nothing writes nothing.
    private bool IsEmpty(KernelTask task) =>
        _pending.Read(task, this, ApGuards.Requests).Count == 0 && _waiting.Read(task, this, ApGuards.Requests).Count == 0;

    private List<(HostRequest Request, ReadOnlyMemory<byte> Reply)>? Take(KernelTask task)
    {
        List<(HostRequest Request, ReadOnlyMemory<byte> Reply)>? replied = null;
        IApInstructions instructions = _queue.ApBus.Instructions;
        Dictionary<ulong, HostRequest> pending = _pending.Change(task, this, ApGuards.Requests);
        while (pending.Count > 0
            && instructions.Dqap(_queue.Apqn, out ulong psmid, out ReadOnlyMemory<byte> reply).Code == ApResponse.Normal)
        {
            if (pending.Remove(psmid, out HostRequest? request))
                (replied ??= []).Add((request, reply));
        }
        return replied;
    }

    private QueueMachineState Give(KernelTask task)
    {
        IApInstructions instructions = _queue.ApBus.Instructions;
        Dictionary<ulong, HostRequest> pending = _pending.Change(task, this, ApGuards.Requests);
        Queue<HostRequest> waiting = _waiting.Change(task, this, ApGuards.Requests);
        QueueMachineState state = QueueMachineState.Working;
        while (waiting.TryPeek(out HostRequest? next))
        {
            ApStatus status = instructions.Nqap(_queue.Apqn, next.Psmid, next.Message.Span);
            if (status.QueueFull)
                state = QueueMachineState.Full;
            if (status.Code != ApResponse.Normal)
                break;
            pending.Add(next.Psmid, waiting.Dequeue());
        }
        return pending.Count == 0 && waiting.Count == 0 ? QueueMachineState.Idle : state;
    }
}
