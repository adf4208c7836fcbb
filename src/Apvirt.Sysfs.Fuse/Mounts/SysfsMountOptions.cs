namespace Apvirt.Sysfs.Fuse.Mounts;

/// <summary>What is special about a mount.</summary>
public sealed record SysfsMountOptions
{
    /// <summary>What the list of mounts shows as its source.</summary>
    public string Source { get; init; } = "apvirt-host";

    /// <summary>
    /// Whether a process of its own watches over the mount and takes it away when this one dies, however it dies; without
    /// use in a namespace that goes with its last process.
    /// </summary>
    public bool IsWatched { get; init; }

    internal string ToText() => $"fsname={Source},subtype=sysfs,default_permissions,allow_other";
}
