using Apvirt.Kernel;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Ap.Bus;

/// <summary>A request of the host to one of its own queues.</summary>
public sealed class HostRequest
{
    internal HostRequest(byte[] message) => Message = message;

    internal byte[] Message { get; }

    internal ulong Psmid { get; set; }

    internal Completion Done { get; } = new();

    /// <summary>EAGAIN if the queue was flushed before the reply came.</summary>
    public Errno Error { get; internal set; }

    /// <summary>The reply; empty unless <see cref="Error"/> is Ok.</summary>
    public ReadOnlyMemory<byte> Reply { get; internal set; }
}

/// <summary>Requests of the host's own driver on one queue: those that wait and those in the hardware.</summary>
public sealed class HostRequests
{
    private static readonly LockClass QueueClass = new("ap queue lock", LockKind.Spin);

    // L29, a leaf. Guards the two collections.
    private readonly KernelSpinLock _lock = new(QueueClass);
    private readonly Queue<HostRequest> _waiting = new();
    private readonly Dictionary<ulong, HostRequest> _pending = [];
    private ulong _lastPsmid;

    /// <summary>Requests that wait for room in the hardware.</summary>
    public int WaitingCount => _waiting.Count;

    /// <summary>Requests in the hardware.</summary>
    public int PendingCount => _pending.Count;

    internal void Add(KernelTask task, HostRequest request)
    {
        using KernelSpinLock.Section section = _lock.Lock(task);
        request.Psmid = ++_lastPsmid;
        _waiting.Enqueue(request);
    }

    internal HostRequest? PeekWaiting(KernelTask task)
    {
        using KernelSpinLock.Section section = _lock.Lock(task);
        return _waiting.TryPeek(out HostRequest? request) ? request : null;
    }

    internal void MoveToPending(KernelTask task)
    {
        using KernelSpinLock.Section section = _lock.Lock(task);
        HostRequest request = _waiting.Dequeue();
        _pending.Add(request.Psmid, request);
    }

    internal void Complete(KernelTask task, ulong psmid, ReadOnlyMemory<byte> reply)
    {
        HostRequest? request;
        using (KernelSpinLock.Section section = _lock.Lock(task))
            _pending.Remove(psmid, out request);
        if (request is null)
            return;
        request.Reply = reply;
        request.Done.CompleteAll();
    }

    internal void Flush(KernelTask task)
    {
        List<HostRequest> flushed;
        using (KernelSpinLock.Section section = _lock.Lock(task))
        {
            flushed = [.. _pending.Values, .. _waiting];
            _pending.Clear();
            _waiting.Clear();
        }
        foreach (HostRequest request in flushed)
        {
            request.Error = Errno.EAGAIN;
            request.Done.CompleteAll();
        }
    }
}
