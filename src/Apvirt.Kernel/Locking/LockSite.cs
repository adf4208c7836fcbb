namespace Apvirt.Kernel.Locking;

/// <summary>A place in the source where a lock is taken.</summary>
/// <param name="File">Path of the file as the compiler knows it.</param>
/// <param name="Line">Line, from 1; 0 if the place is not known.</param>
public readonly record struct LockSite(string? File, int Line)
{
    /// <summary>The place as <c>file:line</c>, without the folders of the machine that compiled it.</summary>
    public override string ToString()
    {
        if (string.IsNullOrEmpty(File))
            return "(unknown)";
        int folder = File.LastIndexOfAny(['/', '\\']);
        return $"{File.AsSpan(folder + 1)}:{Line}";
    }
}
