namespace Apvirt.Kernel.Waiting;

/// <summary>How a wait ended.</summary>
public enum WaitResult
{
    /// <summary>What was waited for happened.</summary>
    Done,
    /// <summary>The time given had passed first.</summary>
    TimedOut,
    /// <summary>A signal ended the wait first.</summary>
    Interrupted,
}
