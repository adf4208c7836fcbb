using Apvirt.Kernel.Locking;

namespace Apvirt.Devices.Sysfs;

/// <summary>What an entry of a directory is.</summary>
public enum SysfsEntryKind
{
    /// <summary>A directory.</summary>
    Directory,
    /// <summary>An attribute file.</summary>
    Attribute,
    /// <summary>A symbolic link to a directory.</summary>
    Link,
}

/// <summary>One entry of a directory, as found at one moment.</summary>
public readonly struct SysfsEntry
{
    private SysfsEntry(string name, SysfsEntryKind kind, SysfsDirectory directory, SysfsAttribute? attribute, ActiveReferences? references)
    {
        Name = name;
        Kind = kind;
        Directory = directory;
        Attribute = attribute;
        References = references;
    }

    /// <summary>Name within the directory.</summary>
    public string Name { get; }

    /// <summary>What it is.</summary>
    public SysfsEntryKind Kind { get; }

    /// <summary>The directory itself, the link's target, or the attribute's owner.</summary>
    public SysfsDirectory Directory { get; }

    /// <summary>The attribute; null for directories and links.</summary>
    public SysfsAttribute? Attribute { get; }

    /// <summary>References that a running show or store of the attribute holds (kn_active).</summary>
    public ActiveReferences? References { get; }

    /// <summary>Whether another entry, found at another moment under the same name, is the same thing.</summary>
    /// <param name="other">The other entry.</param>
    public bool IsSameAs(in SysfsEntry other) =>
        Kind == other.Kind && Directory.Equals(other.Directory) && ReferenceEquals(Attribute, other.Attribute) && ReferenceEquals(References, other.References);

    /// <summary>An entry that is a directory.</summary>
    /// <param name="directory">The directory.</param>
    public static SysfsEntry Of(SysfsDirectory directory) =>
        new(directory.Name, SysfsEntryKind.Directory, directory, attribute: null, references: null);

    /// <summary>An entry that is a link.</summary>
    /// <param name="name">Name of the link.</param>
    /// <param name="target">Where it leads.</param>
    public static SysfsEntry LinkTo(string name, SysfsDirectory target) =>
        new(name, SysfsEntryKind.Link, target, attribute: null, references: null);

    /// <summary>An entry that is an attribute file.</summary>
    /// <param name="attribute">The attribute.</param>
    /// <param name="owner">Whose attribute it is.</param>
    /// <param name="references">The references that its operations hold.</param>
    public static SysfsEntry File(SysfsAttribute attribute, SysfsDirectory owner, ActiveReferences references) =>
        new(attribute.Name, SysfsEntryKind.Attribute, owner, attribute, references);
}
