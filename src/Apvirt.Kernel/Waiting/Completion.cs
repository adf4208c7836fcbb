using System.Runtime.CompilerServices;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Waiting;

/// <summary>
/// Something that happens once, or once per waiter: <see cref="CompleteAll"/> lets every wait through from then on,
/// <see cref="Complete"/> lets exactly one through.
/// </summary>
public sealed class Completion
{
    private const int Forever = int.MaxValue;

    private readonly WaitQueue _waiters = new();

    // Guarded by the gate of _waiters.
    private int _permits;

    /// <summary>Makes a completion that has not happened.</summary>
    /// <param name="duty">What those who complete it owe to those who wait; null if that has no place among the locks.</param>
    public Completion(Duty? duty = null) => Duty = duty;

    /// <summary>What those who complete it owe to those who wait, null if that has no place among the locks.</summary>
    public Duty? Duty { get; }

    /// <summary>Whether a wait would go through at once.</summary>
    public bool IsDone
    {
        get
        {
            lock (_waiters.Gate)
                return _permits > 0;
        }
    }

    /// <summary>Lets one waiter through: the first that waits, or the next that comes.</summary>
    public void Complete()
    {
        TaskWaiter? waiter;
        lock (_waiters.Gate)
        {
            waiter = _waiters.TakeFirst();
            if (waiter is null && _permits != Forever)
                _permits++;
        }
        waiter?.Wake(WaitResult.Done);
    }

    /// <summary>Lets all waiters through, now and later.</summary>
    public void CompleteAll()
    {
        while (true)
        {
            TaskWaiter? waiter;
            lock (_waiters.Gate)
            {
                _permits = Forever;
                waiter = _waiters.TakeFirst();
            }
            if (waiter is null)
                return;
            waiter.Wake(WaitResult.Done);
        }
    }

    /// <summary>Takes back what was completed, so that the object can be used again.</summary>
    public void Reset()
    {
        lock (_waiters.Gate)
            _permits = 0;
    }

    /// <summary>Waits without limit.</summary>
    /// <param name="task">The waiting task.</param>
    /// <param name="interruptible">Whether a signal may end the wait.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public ValueTask<WaitResult> WaitAsync(
        KernelTask task, bool interruptible = false, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        Duty?.Await(task, file, line);
        lock (_waiters.Gate)
        {
            return TryTakePermit() ? new ValueTask<WaitResult>(WaitResult.Done) : _waiters.Join(task, interruptible);
        }
    }

    /// <summary>Waits for at most a given time.</summary>
    /// <param name="task">The waiting task.</param>
    /// <param name="limit">The longest wait.</param>
    /// <param name="interruptible">Whether a signal may end the wait.</param>
    /// <param name="file">Filled in by the compiler.</param>
    /// <param name="line">Filled in by the compiler.</param>
    public async ValueTask<WaitResult> WaitAsync(
        KernelTask task, TimeSpan limit, bool interruptible = false, [CallerFilePath] string file = "", [CallerLineNumber] int line = 0)
    {
        Duty?.Await(task, file, line);
        ValueTask<WaitResult> wait;
        short generation;
        lock (_waiters.Gate)
        {
            if (TryTakePermit())
                return WaitResult.Done;
            wait = _waiters.Join(task, interruptible);
            if (wait.IsCompletedSuccessfully)
                return wait.Result;
            generation = task.Waiter.Generation;
        }
        ITimer timer = task.Runtime.Time.CreateTimer(
            _ => _waiters.Cancel(task.Waiter, generation, WaitResult.TimedOut), state: null, limit, Timeout.InfiniteTimeSpan);
        await using (timer)
            return await wait;
    }

    private bool TryTakePermit()
    {
        if (_permits == 0)
            return false;
        if (_permits != Forever)
            _permits--;
        return true;
    }
}
