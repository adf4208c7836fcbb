namespace Apvirt.Kernel.Sharing;

/// <summary>How a field is accessed.</summary>
public enum AccessKind
{
    /// <summary>It is read, under its locks if it has any.</summary>
    Read,
    /// <summary>It is written, under its locks if it has any.</summary>
    Write,
    /// <summary>Something is added to it that nobody who adds looks at: the order of those who add makes no difference.</summary>
    Add,
    /// <summary>It is read without its locks, by somebody who can do with an old value.</summary>
    Glance,
}
