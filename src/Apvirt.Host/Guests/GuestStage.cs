namespace Apvirt.Host.Guests;

/// <summary>How far a guest's process has come.</summary>
internal enum GuestStage
{
    /// <summary>It is being started; if its first devices cannot be opened it ends.</summary>
    Made,
    /// <summary>It runs.</summary>
    Running,
    /// <summary>It has ended, and its name is free.</summary>
    Ended,
}
