namespace Apvirt.Kernel.Waiting;

/// <summary>
/// The rule of completions, stated once (DESIGN R2): how many waits go through. Each takes one, unless all may; what is taken
/// back in between is gone, whoever was about to take it.
/// </summary>
/// <param name="Permits">How many waits go through; <see cref="Forever"/> for all of them.</param>
public readonly record struct CompletionState(int Permits)
{
    /// <summary>Every wait goes through.</summary>
    public const int Forever = int.MaxValue;

    /// <summary>Whether a wait goes through.</summary>
    public bool MayPass => Permits > 0;

    /// <summary>A wait went through.</summary>
    public CompletionState Passed() => Permits == Forever ? this : new(Permits - 1);

    /// <summary>One more wait goes through.</summary>
    public CompletionState Completed() => Permits == Forever ? this : new(Permits + 1);

    /// <summary>All waits go through.</summary>
    public static CompletionState All => new(Forever);

    /// <summary>No wait goes through.</summary>
    public static CompletionState None => default;
}
