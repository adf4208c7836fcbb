namespace Apvirt.Explore.Tests.Oracle;

/// <summary>What one atomic step does to its one object.</summary>
internal enum StepKind
{
    /// <summary>A mutex or a spin lock is taken; impossible while somebody holds it.</summary>
    Lock,

    /// <summary>A mutex or a spin lock is released.</summary>
    Unlock,

    /// <summary>A mutex is taken if it is free; the answer is 1 or 0.</summary>
    Try,

    /// <summary>A writer begins to wait, which keeps new readers out. Only with queueing.</summary>
    Ask,

    /// <summary>A writer has the lock to itself. An instruction "write-lock" is this step, with queueing after an <see cref="Ask"/>.</summary>
    Grant,

    /// <summary>A writer releases the lock.</summary>
    WriteUnlock,

    /// <summary>A reader shares the lock.</summary>
    ReadLock,

    /// <summary>A reader releases its share.</summary>
    ReadUnlock,

    /// <summary>The lock is shared if that can be had at once.</summary>
    TryRead,

    /// <summary>The lock is taken for writing if that can be had at once, without ever waiting.</summary>
    TryWrite,

    /// <summary>An event has one permit more.</summary>
    Complete,

    /// <summary>An event has permits for ever.</summary>
    CompleteAll,

    /// <summary>An event has no permit.</summary>
    Reset,

    /// <summary>A permit is taken; impossible while there is none.</summary>
    Wait,

    /// <summary>A permit is taken if there is one; the answer is 1, or 0 when it timed out.</summary>
    TimedWait,

    /// <summary>A value is read, and is the answer.</summary>
    Load,

    /// <summary>A value is written.</summary>
    Store,
}

/// <summary>What an object is. One name has one family in all of a program.</summary>
internal enum ObjectFamily
{
    Mutex,
    Spin,
    ReadWrite,
    Event,
    Memory,
}
