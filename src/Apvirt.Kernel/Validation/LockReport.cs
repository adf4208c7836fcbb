using Apvirt.Kernel.Locking;

namespace Apvirt.Kernel.Validation;

/// <summary>One lock as somebody took it.</summary>
/// <param name="Class">Canonical name of its class.</param>
/// <param name="Mode">How.</param>
/// <param name="Site">Where.</param>
public sealed record TracedLock(string Class, LockMode Mode, LockSite Site)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Class}{Mode.Suffix()} at {Site}";
}

/// <summary>Who took locks in an order, oldest first: what was held, and what was then taken.</summary>
/// <param name="Task">Name and number of the task.</param>
/// <param name="Held">The locks held, outermost first.</param>
/// <param name="Taken">The lock that was taken then.</param>
public sealed record LockTrace(string Task, IReadOnlyList<TracedLock> Held, TracedLock Taken);

/// <summary>One participant of a possible deadlock: it holds one lock and waits for the next participant's.</summary>
/// <param name="Task">Who was seen doing it; null if the order is only declared.</param>
/// <param name="Holds">The lock that it holds.</param>
/// <param name="Wants">The lock that it waits for.</param>
/// <param name="Trace">All that it held, null if the order is only declared.</param>
/// <param name="Declared">Where the order is declared, null if it is not.</param>
public sealed record LockLane(string? Task, TracedLock Holds, TracedLock Wants, LockTrace? Trace, string? Declared);

/// <summary>A broken rule about the order of locks, with everybody who takes part.</summary>
/// <param name="Title">What kernel developers call it.</param>
/// <param name="Trace">Who did the acquisition that was reported.</param>
/// <param name="Lanes">The participants in the order of the cycle, one lane each; empty where there is only one.</param>
/// <param name="Stack">The calls that led to the acquisition, innermost first.</param>
public sealed record LockReport(string Title, LockTrace Trace, IReadOnlyList<LockLane> Lanes, IReadOnlyList<string> Stack)
{
    /// <summary>The classes of the cycle in its order, beginning with the first in alphabetical order.</summary>
    public IReadOnlyList<string> Cycle
    {
        get
        {
            if (Lanes.Count == 0)
                return [];
            string[] names = [.. Lanes.Select(lane => lane.Holds.Class)];
            int first = Array.IndexOf(names, names.Min(StringComparer.Ordinal));
            return [.. names[first..], .. names[..first]];
        }
    }
}
