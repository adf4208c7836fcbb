using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Devices.Sysfs;

/// <summary>The tree of one host: looking up paths, reading and writing by path as a program with one call each would.</summary>
public sealed class SysfsTree
{
    private const int LinkLimit = 40;

    private readonly KernelRuntime _runtime;
    private Shared<Action<SysfsDirectory, string>?> _entryGone;

    /// <summary>Makes a tree with the standard top directories.</summary>
    /// <param name="runtime">The runtime of those who change and use it.</param>
    public SysfsTree(KernelRuntime runtime)
    {
        _runtime = runtime;
        Root = new RootDirectory(this, runtime);
        Bus = Root.AddDirectory("bus");
        Class = Root.AddDirectory("class");
        Devices = Root.AddDirectory("devices");
        Kernel = Root.AddDirectory("kernel");
        Module = Root.AddDirectory("module");
    }

    /// <summary><c>/sys</c></summary>
    public SysfsDirectory Root { get; }

    /// <summary><c>/sys/bus</c></summary>
    public SysfsDirectory Bus { get; }

    /// <summary><c>/sys/class</c></summary>
    public SysfsDirectory Class { get; }

    /// <summary><c>/sys/devices</c></summary>
    public SysfsDirectory Devices { get; }

    /// <summary><c>/sys/kernel</c></summary>
    public SysfsDirectory Kernel { get; }

    /// <summary><c>/sys/module</c></summary>
    public SysfsDirectory Module { get; }

    /// <summary>
    /// An entry has gone: its directory and its name. Raised when it cannot be found any more and before whatever made it
    /// go returns, so that whoever serves the tree can forget it. Handlers must not wait.
    /// </summary>
    public event Action<SysfsDirectory, string>? EntryGone
    {
        add => _entryGone.Update(_runtime, Root, DeviceFields.EntryGone, value, static (handlers, added) => handlers + added);
        remove => _entryGone.Update(_runtime, Root, DeviceFields.EntryGone, value, static (handlers, removed) => handlers - removed);
    }

    /// <summary>Finds what a path names, following links on the way.</summary>
    /// <param name="path">Absolute path, beginning with <c>/sys</c>.</param>
    /// <param name="entry">What it names.</param>
    /// <param name="followLast">Whether a link at the end is followed too.</param>
    /// <returns>ENOENT if there is no such name, ENOTDIR if a file stands where a directory is needed.</returns>
    public Errno Find(ReadOnlySpan<char> path, out SysfsEntry entry, bool followLast = true)
    {
        entry = SysfsEntry.Of(Root);
        if (path.Length == 0 || path[0] != '/')
            return Errno.ENOENT;
        bool atTop = true;
        int links = 0;
        foreach (Range range in path.Split('/'))
        {
            ReadOnlySpan<char> name = path[range];
            if (name.IsEmpty || name is ".")
                continue;
            if (atTop)
            {
                if (!name.SequenceEqual(Root.Name))
                    return Errno.ENOENT;
                atTop = false;
                continue;
            }
            if (entry.Kind == SysfsEntryKind.Attribute)
                return Errno.ENOTDIR;
            if (entry.Kind == SysfsEntryKind.Link && ++links > LinkLimit)
                return Errno.ELOOP;
            SysfsDirectory directory = entry.Directory;
            if (name is "..")
                entry = SysfsEntry.Of(directory.Parent ?? Root);
            else if (!directory.TryFind(name, out entry))
                return Errno.ENOENT;
        }
        if (atTop)
            return Errno.ENOENT;
        if (followLast && entry.Kind == SysfsEntryKind.Link)
            entry = SysfsEntry.Of(entry.Directory);
        return Errno.Ok;
    }

    /// <summary>Opens, reads from the start and closes.</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="path">Absolute path.</param>
    /// <param name="text">The page to fill.</param>
    public ValueTask<Errno> ReadAsync(KernelTask task, ReadOnlySpan<char> path, SysfsText text)
    {
        Errno error = Find(path, out SysfsEntry entry);
        if (error == Errno.Ok)
            error = SysfsFile.CheckAccess(entry, SysfsAccess.Read);
        return error == Errno.Ok ? SysfsFile.ShowAsync(task, entry, text) : new ValueTask<Errno>(error);
    }

    /// <summary>Says that an entry has gone, which whoever looks for it cannot find any more.</summary>
    /// <param name="directory">The directory that it was in.</param>
    /// <param name="name">Its name.</param>
    public void Gone(SysfsDirectory directory, string name) => _entryGone.Read(_runtime, Root, DeviceFields.EntryGone)?.Invoke(directory, name);

    /// <summary>Opens for writing without O_CREAT, writes once and closes.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="path">Absolute path.</param>
    /// <param name="data">What is written.</param>
    public ValueTask<Errno> WriteAsync(KernelTask task, ReadOnlySpan<char> path, ReadOnlyMemory<byte> data)
    {
        Errno error = Find(path, out SysfsEntry entry);
        if (error == Errno.Ok)
            error = SysfsFile.CheckAccess(entry, SysfsAccess.Write);
        return error == Errno.Ok ? SysfsFile.StoreAsync(task, entry, data) : new ValueTask<Errno>(error);
    }

    /// <summary>The top, where every directory below finds the tree that it is in.</summary>
    internal sealed class RootDirectory(SysfsTree tree, KernelRuntime runtime) : SysfsDirectory("sys", runtime)
    {
        internal SysfsTree Tree { get; } = tree;
    }
}
