namespace Apvirt.Explore.Strategies;

/// <summary>
/// Decides which way executions go. What all searches have in common is not here: how an execution is done (Executor), on which
/// threads and for how long (Search). One object for each thread; what the threads share is a <see cref="Frontier"/>.
/// </summary>
internal interface IStrategy
{
    /// <summary>Whether something was left out for a bound of the strategy's own, such as that of preemptions.</summary>
    bool IsCut { get; }

    /// <summary>How many choices are left of what was taken, and what part of all executions they lead to, as far as that is known.</summary>
    (long Choices, double Weight) Left { get; }

    /// <summary>Takes something to do from the frontier, under its gate.</summary>
    /// <param name="executionsMax">The most executions that will be done of it.</param>
    /// <returns>False if nothing is there to be taken at the moment.</returns>
    bool Take(long executionsMax);

    /// <summary>Gives back to the frontier what is left of what was taken, under its gate.</summary>
    void GiveBack();

    /// <summary>Begins another execution of what was taken.</summary>
    /// <returns>False if there is none left.</returns>
    bool Begin();

    /// <summary>The task that does the next step without any choice, since the execution repeats another up to here; negative for none.</summary>
    int Repeated { get; }

    /// <summary>Which task does the next step.</summary>
    /// <param name="enabled">The tasks that can, as bits; at least one.</param>
    /// <returns>Negative if nothing new can follow.</returns>
    int Choose(ulong enabled);

    /// <summary>A step was done: the last of the execution.</summary>
    /// <returns>False if nothing new can follow.</returns>
    bool Did();

    /// <summary>The execution has ended, or was given up.</summary>
    void Ended();
}
