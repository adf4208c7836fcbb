using System.Runtime.ExceptionServices;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Engine;

/// <summary>
/// Threads that tasks can stand still on in the middle of code that does not await, of which one runs at a time. Whoever explores
/// does the steps itself. When a task stands still, its thread stays there, and another goes on exploring; when the task is
/// let go on, its thread does, and explores from then on. So threads change only where tasks are interrupted in the middle.
/// </summary>
/// <param name="tasks">The most tasks.</param>
internal sealed class TaskThreads(int tasks) : IStepCarrier, IDisposable
{
    private readonly Place _caller = new();
    private readonly Place?[] _standing = new Place?[tasks];

    // Those that wait to explore, the last to come in front; and all but the caller's.
    private readonly List<Place> _idle = [];
    private readonly List<(Place Place, Thread Thread)> _threads = [];

    private Place _running = null!;
    private Action _explore = null!;
    private ExceptionDispatchInfo? _bug;
    private bool _isOver;
    private bool _isDisposed;

    /// <summary>Explores, on the calling thread and others, and returns on the calling thread.</summary>
    /// <param name="explore">
    /// Does steps until the execution is over. It may be left in the middle of a step and called again on another thread, so what
    /// it has to remember it remembers elsewhere.
    /// </param>
    internal void Carry(Action explore)
    {
        _explore = explore;
        _running = _caller;
        _isOver = false;
        try
        {
            explore();
        }
        catch (OperationCanceledException) when (_isOver)
        {
        }
        ExceptionDispatchInfo? bug = _bug;
        _bug = null;
        bug?.Throw();
    }

    /// <inheritdoc/>
    public void Run(int task, Action step)
    {
        Place own = _running;
        step();
        // What the task's code made of it, nobody will look at.
        if (own.IsGivenUp)
        {
            own.IsGivenUp = false;
            throw GivenUp();
        }
    }

    /// <inheritdoc/>
    public void GoOn(int task)
    {
        Place own = _running;
        Place other = _standing[task]!;
        _standing[task] = null;
        _idle.Add(own);
        PassTo(other);
        own.Wait();
        if (_isDisposed || (_isOver && own == _caller))
            throw GivenUp();
    }

    /// <inheritdoc/>
    public void Stand(int task)
    {
        Place own = _running;
        if (own.IsGivenUp)
            return;
        _standing[task] = own;
        PassTo(TakeIdle());
        own.Wait();
        if (own.IsGivenUp)
            throw GivenUp();
    }

    /// <summary>Ends the steps of all tasks that stand still, which nobody will look at any more.</summary>
    internal void Abandon()
    {
        for (int task = 0; task < _standing.Length; task++)
        {
            if (_standing[task] is not { } place)
                continue;
            _standing[task] = null;
            place.IsGivenUp = true;
            PassTo(place);
            _caller.Wait();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Abandon();
        _isDisposed = true;
        foreach ((Place place, Thread thread) in _threads)
        {
            PassTo(place);
            thread.Join();
            place.Dispose();
        }
        _caller.Dispose();
    }

    private static OperationCanceledException GivenUp() => new("the execution is given up");

    private void PassTo(Place place)
    {
        _running = place;
        place.Go();
    }

    private Place TakeIdle()
    {
        if (_idle.Count > 0)
        {
            Place last = _idle[^1];
            _idle.RemoveAt(_idle.Count - 1);
            return last;
        }
        Place made = new();
        Thread thread = new(() => Explore(made)) { IsBackground = true, Name = $"explorer {_threads.Count}" };
        _threads.Add((made, thread));
        thread.Start();
        return made;
    }

    private void Explore(Place own)
    {
        while (true)
        {
            own.Wait();
            if (_isDisposed)
                return;
            try
            {
                if (!_isOver)
                    _explore();
                EndForCaller();
            }
            catch (OperationCanceledException)
            {
                // The caller gives it up, and waits.
            }
            catch (Exception bug)
            {
                _bug = ExceptionDispatchInfo.Capture(bug);
                EndForCaller();
            }
            if (_isDisposed)
                return;
            _idle.Add(own);
            PassTo(_caller);
        }
    }

    // The caller is where it waits to explore, or where its task stands.
    private void EndForCaller()
    {
        _isOver = true;
        if (_idle.Remove(_caller))
            return;
        _caller.IsGivenUp = true;
        _standing[Array.IndexOf(_standing, _caller)] = null;
    }

    // A thread, and what it waits for.
    private sealed class Place : IDisposable
    {
        private readonly SemaphoreSlim _go = new(0);

        /// <summary>Whether the task that stands there is to end.</summary>
        internal bool IsGivenUp { get; set; }

        internal void Go() => _go.Release();

        internal void Wait() => _go.Wait();

        public void Dispose() => _go.Dispose();
    }
}
