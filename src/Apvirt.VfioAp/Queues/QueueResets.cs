using System.Runtime.InteropServices;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Work;
using Apvirt.VfioAp.Matrix;

namespace Apvirt.VfioAp.Queues;

/// <summary>
/// A reset of several queues: all are started, then all are waited for (vfio-ap.md §13). There is one object for the
/// machine because resets happen under mdevs_lock; its work item takes no lock, so waiting for it under the locks is safe.
/// </summary>
public sealed class QueueResets
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(20);

    // Without the quirk a reset is verified for so long; a queue that does not answer by then is broken.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private static readonly LockClass WorkClass = new("reset work", LockKind.Wait);

    private readonly WorkQueue _workQueue;
    private readonly WorkItem _verification;

    // Under mdevs_lock, or by the work item while the holder of mdevs_lock waits for it. One list, used again for each reset.
    private Guarded<List<VfioApQueue>> _queues = new([]);

    // Queues that need verification are the first of the list.
    private Guarded<int> _unverified;

    internal QueueResets(MatrixDevice matrix)
    {
        Matrix = matrix;
        _workQueue = new WorkQueue(matrix.Model.Runtime, "vfio_ap_reset");
        _verification = new WorkItem(WorkClass, VerifyAsync);
    }

    internal MatrixDevice Matrix { get; }

    /// <inheritdoc/>
    public override string ToString() => "queue resets";

    /// <summary>Begins to collect queues.</summary>
    internal void Begin(MdevsHeld mdevs) => Change(mdevs.Task).Clear();

    internal void Add(MdevsHeld mdevs, VfioApQueue queue) => Change(mdevs.Task).Add(queue);

    /// <summary>Adds the queues of an adapter in some domains.</summary>
    internal void Add(MdevsHeld mdevs, QueueRow row, in ApMask domains)
    {
        List<VfioApQueue> queues = Change(mdevs.Task);
        int count = queues.Count;
        CollectionsMarshal.SetCount(queues, count + domains.Count);
        row.ReadQueues(mdevs.Task, domains, CollectionsMarshal.AsSpan(queues)[count..]);
    }

    /// <summary>Resets what was collected.</summary>
    internal ValueTask RunAsync(MdevsHeld mdevs)
    {
        KernelTask task = mdevs.Task;
        if (Read(task).Count == 0)
            return default;
        ValueTask start = StartAsync(task);
        if (!start.IsCompletedSuccessfully)
            return VerifyAfterAsync(task, start);
        return Unverified(task) == 0 ? default : _workQueue.RunAsync(task, _verification);
    }

    /// <summary>How the reset ended: EIO if any queue has a code other than 00.</summary>
    internal Errno Result(MdevsHeld mdevs)
    {
        foreach (VfioApQueue queue in Read(mdevs.Task))
        {
            if (queue.ReadResetStatus(mdevs.Task) != ApResponse.Normal)
                return Errno.EIO;
        }
        return Errno.Ok;
    }

    /// <summary>Clears the links of the queues that were reset.</summary>
    internal void Unlink(UpdateLocks locks)
    {
        List<VfioApQueue> queues = Read(locks.Task);
        for (int i = 0; i < queues.Count;)
        {
            QueueRow row = queues[i].Row;
            ApMask left = ApMask.None;
            for (; i < queues.Count && queues[i].Row == row; i++)
            {
                queues[i].PointTo(locks, null);
                left |= ApMask.Of(queues[i].Apqn.Apqi);
            }
            row.SetPointing(locks, left, points: false);
        }
    }

    private async ValueTask VerifyAfterAsync(KernelTask task, ValueTask start)
    {
        await start;
        if (Unverified(task) > 0)
            await _workQueue.RunAsync(task, _verification);
    }

    private List<VfioApQueue> Read(KernelTask task) => _queues.Read(task, this, VfioApGuards.Resets);

    private List<VfioApQueue> Change(KernelTask task) => _queues.Change(task, this, VfioApGuards.Resets);

    private int Unverified(KernelTask task) => _unverified.Read(task, this, VfioApGuards.Resets);

    private ValueTask StartAsync(KernelTask task)
    {
        int unverified = 0;
        int stopped = Start(task, first: 0, ref unverified);
        return stopped < 0 ? default : FreeThenContinueAsync(task, stopped, unverified);
    }

    // Starts the resets from one queue on, up to one whose interrupt is to be freed first; negative if there is none. Queues that
    // need verification move to the front.
    private int Start(KernelTask task, int first, ref int unverified)
    {
        IApInstructions instructions = Matrix.Instructions;
        Span<VfioApQueue> queues = CollectionsMarshal.AsSpan(Change(task));
        int stopped = -1;
        for (int i = first; i < queues.Length && stopped < 0; i++)
        {
            VfioApQueue queue = queues[i];
            ApResponse code = instructions.Zapq(queue.Apqn).Code;
            queue.SetResetStatus(task, code);
            if (NeedsVerification(code))
                Swap(queues, i, unverified++);
            else if (code is not (ApResponse.Deconfigured or ApResponse.Checkstopped or ApResponse.NotAvailable))
                WarnOfCode(queue, "ZAPQ", code);
            else if (queue.ReadInterrupt(task).IsAny)
                stopped = i;
        }
        _unverified.Write(task, this, VfioApGuards.Resets, unverified);
        return stopped;
    }

    private async ValueTask FreeThenContinueAsync(KernelTask task, int stopped, int unverified)
    {
        while (stopped >= 0)
        {
            await Read(task)[stopped].FreeInterruptResourcesAsync(task);
            stopped = Start(task, stopped + 1, ref unverified);
        }
    }

    private static bool NeedsVerification(ApResponse code) =>
        code is ApResponse.Normal or ApResponse.ResetInProgress or ApResponse.Busy or ApResponse.StateChangeInProgress;

    // Rounds of one look at each queue that is not done. In 6.12 a queue that stays busy holds everything up (F12).
    private async ValueTask VerifyAsync(KernelTask worker)
    {
        long rounds = Matrix.Profile.Has(Quirk.EndlessReset) ? long.MaxValue : (long)(Patience / PollInterval);
        for (; Unverified(worker) > 0 && rounds > 0; rounds--)
        {
            await worker.Runtime.DelayAsync(worker, PollInterval);
            int unverified = Unverified(worker);
            int left = 0;
            int next = 0;
            while ((next = LookAtAll(worker, next, unverified, ref left)) < unverified)
                await Read(worker)[next++].FreeInterruptResourcesAsync(worker);
            _unverified.Write(worker, this, VfioApGuards.Resets, left);
        }
        for (int i = 0; i < Unverified(worker); i++)
            await GiveUpAsync(worker, Read(worker)[i]);
        _unverified.Write(worker, this, VfioApGuards.Resets, 0);
    }

    // One look at each queue from one on, up to one whose interrupt is to be freed; those that are not done move to the front.
    private int LookAtAll(KernelTask worker, int first, int unverified, ref int left)
    {
        Span<VfioApQueue> queues = CollectionsMarshal.AsSpan(Change(worker));
        int i = first;
        for (; i < unverified; i++)
        {
            VfioApQueue queue = queues[i];
            if (!LookAt(worker, queue, out bool frees))
                Swap(queues, left++, i);
            else if (frees && queue.ReadInterrupt(worker).IsAny)
                break;
        }
        return i;
    }

    // The queue keeps a code that withholds it. Its reset may never have happened, so its interrupt is disabled by itself;
    // as long as that does not work either, the page stays pinned.
    private async ValueTask GiveUpAsync(KernelTask worker, VfioApQueue queue)
    {
        WarnOfCode(queue, "ZAPQ", queue.ReadResetStatus(worker));
        if (queue.ReadResetStatus(worker) == ApResponse.Normal)
            queue.SetResetStatus(worker, ApResponse.Busy);
        if (!queue.ReadInterrupt(worker).IsAny)
            return;
        ApStatus status = await Matrix.Instructions.AqicAsync(worker, queue.Apqn, new AqicControl(Enable: false, Isc: 0, NotificationByte: 0));
        if (status.Code is ApResponse.Normal or ApResponse.OtherwiseChanged)
            await queue.FreeInterruptResourcesAsync(worker);
    }

    // In 6.12 only the codes of a reset that did not begin; without the quirk an unexpected code of TAPQ as well.
    private bool IsToBeRepeated(ApResponse code) =>
        code is ApResponse.ResetInProgress or ApResponse.Busy or ApResponse.StateChangeInProgress
        || (code is not (ApResponse.Normal or ApResponse.Deconfigured or ApResponse.Checkstopped) && !Matrix.Profile.Has(Quirk.UnexpectedCodeEndsReset));

    private bool LookAt(KernelTask worker, VfioApQueue queue, out bool frees)
    {
        ApResponse code = Matrix.Instructions.Tapq(queue.Apqn).Code;
        frees = true;
        switch (code)
        {
            case ApResponse.Normal or ApResponse.Deconfigured or ApResponse.Checkstopped
                when !IsToBeRepeated(queue.ReadResetStatus(worker)):
                return true;
            case ApResponse.Normal or ApResponse.Deconfigured or ApResponse.Checkstopped:
            case ApResponse.SecretNotUnique or ApResponse.AssociationFailed:
                queue.SetResetStatus(worker, Matrix.Instructions.Zapq(queue.Apqn).Code);
                return false;
            case ApResponse.ResetInProgress or ApResponse.Busy:
                return false;
            case ApResponse.NotAvailable:
                return true;
            default:
                WarnOfCode(queue, "TAPQ", code);
                if (!Matrix.Profile.Deviates(worker, Quirk.UnexpectedCodeEndsReset))
                {
                    // It counts, and is looked at again until it changes or patience ends.
                    queue.SetResetStatus(worker, code);
                    return false;
                }
                // What the interrupt ties up is lost when the VM goes.
                frees = false;
                return true;
        }
    }

    private static void Swap(Span<VfioApQueue> queues, int a, int b)
    {
        if (a != b)
            (queues[a], queues[b]) = (queues[b], queues[a]);
    }

    private void WarnOfCode(VfioApQueue queue, string instruction, ApResponse code)
    {
        if (Matrix.Model.Log.IsRead)
            Matrix.Model.Log.Write(LogLevel.Warning, $"vfio_ap {queue.Apqn}", $"unexpected response code {(int)code:x2} from {instruction} during a reset");
    }
}
