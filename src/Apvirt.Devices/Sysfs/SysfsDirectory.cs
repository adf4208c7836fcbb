using System.Text;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Devices.Sysfs;

/// <summary>
/// A directory of the tree: attributes that its type has, and children and links that come and go. Attribute files are
/// not objects of their own; an entry pairs the shared attribute with its owner when somebody looks.
/// </summary>
public class SysfsDirectory
{
    private static readonly LockClass FilesClass = new("kn_active", LockKind.ActiveReference);

    // Made when the first child comes: most directories are devices without any.
    private Shared<SharedMap<string, SysfsEntry>?> _children;

    /// <summary>Makes a directory that is not in a tree yet.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="parent">The directory it will be in.</param>
    /// <param name="filesClass">Class of the references on its files; that of directories which never go if null.</param>
    public SysfsDirectory(string name, SysfsDirectory parent, LockClass? filesClass = null)
        : this(name, parent, filesClass, parent.Runtime)
    {
    }

    /// <summary>Makes the root of a tree.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="runtime">The runtime of those who change and use the tree.</param>
    private protected SysfsDirectory(string name, KernelRuntime runtime)
        : this(name, parent: null, filesClass: null, runtime)
    {
    }

    private SysfsDirectory(string name, SysfsDirectory? parent, LockClass? filesClass, KernelRuntime runtime)
    {
        Name = name;
        Parent = parent;
        Runtime = runtime;
        Files = new ActiveReferences(filesClass ?? FilesClass, owner: this);
    }

    /// <summary>The runtime of those who change and use the tree.</summary>
    protected internal KernelRuntime Runtime { get; }

    /// <summary>Name of the directory.</summary>
    public string Name { get; }

    /// <summary>The directory that it is in, null for a root.</summary>
    public SysfsDirectory? Parent { get; }

    /// <summary>References that running operations on the directory's own attributes hold.</summary>
    public ActiveReferences Files { get; }

    /// <summary>The attributes that every object of this type has.</summary>
    public virtual AttributeTable Attributes => AttributeTable.Empty;

    /// <summary>Path from the root, with a leading slash and the root's name.</summary>
    public string Path
    {
        get
        {
            StringBuilder path = new();
            for (SysfsDirectory? at = this; at is not null; at = at.Parent)
                path.Insert(0, at.Name).Insert(0, '/');
            return path.ToString();
        }
    }

    /// <summary>Path from below the root, as in a uevent's DEVPATH.</summary>
    public string DevPath => Parent is null ? "" : $"{Parent.DevPath}/{Name}";

    /// <summary>Finds an entry.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="entry">The entry.</param>
    public virtual bool TryFind(ReadOnlySpan<char> name, out SysfsEntry entry)
    {
        if (TryFindChild(name, out entry))
            return true;
        if (Attributes.Find(name) is not { } attribute || Files.IsDeleted(Runtime))
            return false;
        entry = SysfsEntry.File(attribute, this, Files);
        return true;
    }

    /// <summary>All entries: attributes first, then links and directories, each group in the order of their making.</summary>
    public virtual IEnumerable<SysfsEntry> List()
    {
        if (!Files.IsDeleted(Runtime))
        {
            foreach (SysfsAttribute attribute in Attributes.Attributes.ToArray())
                yield return SysfsEntry.File(attribute, this, Files);
        }
        foreach (SysfsEntry child in Children())
            yield return child;
    }

    /// <summary>Makes a directory in this one.</summary>
    /// <param name="name">Its name, not in use here.</param>
    public SysfsDirectory AddDirectory(string name)
    {
        SysfsDirectory directory = new(name, this);
        Add(directory);
        return directory;
    }

    /// <summary>Puts a directory into this one.</summary>
    /// <param name="directory">The directory, whose parent is this one.</param>
    public void Add(SysfsDirectory directory) => Add(directory.Name, SysfsEntry.Of(directory));

    /// <summary>Makes a link in this directory.</summary>
    /// <param name="name">Its name, not in use here.</param>
    /// <param name="target">Where it leads.</param>
    public void AddLink(string name, SysfsDirectory target) => Add(name, SysfsEntry.LinkTo(name, target));

    /// <summary>Takes a directory or link out; does nothing if there is none.</summary>
    /// <param name="name">Its name.</param>
    public void Remove(string name)
    {
        if (_children.Read(Runtime, this, DeviceFields.Children) is { } children && children.Remove(Runtime, name, out _))
            Tree?.Gone(this, name);
    }

    // Null while the directory is in no tree.
    private SysfsTree? Tree
    {
        get
        {
            SysfsDirectory top = this;
            while (top.Parent is { } above)
                top = above;
            return (top as SysfsTree.RootDirectory)?.Tree;
        }
    }

    /// <summary>The text of a link in this directory: relative, as all links in sysfs are (G1).</summary>
    /// <param name="target">Where it leads.</param>
    public string RelativePathTo(SysfsDirectory target)
    {
        List<SysfsDirectory> above = [];
        for (SysfsDirectory? at = this; at is not null; at = at.Parent)
            above.Add(at);
        StringBuilder path = new();
        SysfsDirectory? common = target;
        while (common is not null && !above.Contains(common))
        {
            path.Insert(0, common.Name).Insert(0, '/');
            common = common.Parent;
        }
        if (common is null)
            throw new ArgumentException($"{target.Path} is not in the same tree as {Path}", nameof(target));
        string up = string.Join('/', Enumerable.Repeat("..", above.IndexOf(common)));
        return up.Length == 0 ? path.ToString(1, path.Length - 1) : up + path;
    }

    /// <inheritdoc/>
    public override string ToString() => Path;

    /// <summary>Finds a child directory or link.</summary>
    protected bool TryFindChild(ReadOnlySpan<char> name, out SysfsEntry entry)
    {
        entry = default;
        return _children.Read(Runtime, this, DeviceFields.Children) is { } children && children.TryGet(Runtime, name, out entry);
    }

    /// <summary>Child directories and links.</summary>
    protected SysfsEntry[] Children() => _children.Read(Runtime, this, DeviceFields.Children)?.Values(Runtime) ?? [];

    private void Add(string name, SysfsEntry entry)
    {
        SharedMap<string, SysfsEntry>? children = _children.Read(Runtime, this, DeviceFields.Children);
        while (children is null)
        {
            _children.TryChange(Runtime, this, DeviceFields.Children, null, new(this, DeviceFields.Entries));
            children = _children.Read(Runtime, this, DeviceFields.Children);
        }
        if (!children.TryAdd(Runtime, name, entry))
            throw new ArgumentException($"{Path} has a {name} already", nameof(name));
    }
}
