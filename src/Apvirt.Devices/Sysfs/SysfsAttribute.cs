using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Devices.Sysfs;

/// <summary>
/// An attribute file: name, mode and what reading and writing does. Immutable and shared by all objects of a type; the
/// object comes with each call. Generic rules (G1-G13 of sysfs.md §0) are kept by <see cref="SysfsFile"/>.
/// </summary>
public abstract class SysfsAttribute
{
    /// <summary>Makes an attribute.</summary>
    /// <param name="name">File name.</param>
    /// <param name="mode">Permission bits.</param>
    protected SysfsAttribute(string name, SysfsMode mode)
    {
        Name = name;
        Mode = mode;
    }

    /// <summary>File name.</summary>
    public string Name { get; }

    /// <summary>Permission bits.</summary>
    public SysfsMode Mode { get; }

    /// <summary>
    /// Whether the store function deletes its own object, as an mdev's <c>remove</c> does. Such a store holds no
    /// reference on its file while it runs, or it would wait for itself.
    /// </summary>
    public bool RemovesItsOwner { get; init; }

    /// <summary>Fills the page with the attribute's text.</summary>
    /// <param name="task">The reading task.</param>
    /// <param name="owner">The object.</param>
    /// <param name="text">The page, empty.</param>
    public abstract ValueTask<Errno> ShowAsync(KernelTask task, SysfsDirectory owner, SysfsText text);

    /// <summary>Takes what was written.</summary>
    /// <param name="task">The writing task.</param>
    /// <param name="owner">The object.</param>
    /// <param name="text">What one write brought, up to 4096 bytes and without anything from a NUL on.</param>
    public abstract ValueTask<Errno> StoreAsync(KernelTask task, SysfsDirectory owner, ReadOnlyMemory<byte> text);
}

/// <summary>An attribute of one type of object.</summary>
/// <typeparam name="TOwner">The type of object.</typeparam>
public sealed class SysfsAttribute<TOwner> : SysfsAttribute
    where TOwner : SysfsDirectory
{
    private readonly Func<KernelTask, TOwner, SysfsText, ValueTask<Errno>>? _show;
    private readonly Func<KernelTask, TOwner, ReadOnlyMemory<byte>, ValueTask<Errno>>? _store;

    /// <summary>Makes an attribute whose functions may sleep.</summary>
    /// <param name="name">File name.</param>
    /// <param name="mode">Permission bits.</param>
    /// <param name="show">Fills the page; null answers EIO.</param>
    /// <param name="store">Takes what was written; null answers EIO.</param>
    public SysfsAttribute(
        string name,
        SysfsMode mode,
        Func<KernelTask, TOwner, SysfsText, ValueTask<Errno>>? show = null,
        Func<KernelTask, TOwner, ReadOnlyMemory<byte>, ValueTask<Errno>>? store = null)
        : base(name, mode)
    {
        _show = show;
        _store = store;
    }

    /// <summary>Makes a read-only attribute that needs no lock and cannot fail.</summary>
    /// <param name="name">File name.</param>
    /// <param name="show">Fills the page.</param>
    /// <param name="mode">Permission bits.</param>
    public SysfsAttribute(string name, Action<TOwner, SysfsText> show, SysfsMode mode = SysfsMode.ReadOnly)
        : base(name, mode)
    {
        _show = (_, owner, text) =>
        {
            show(owner, text);
            return new ValueTask<Errno>(Errno.Ok);
        };
    }

    /// <inheritdoc/>
    public override ValueTask<Errno> ShowAsync(KernelTask task, SysfsDirectory owner, SysfsText text) =>
        _show is null ? new ValueTask<Errno>(Errno.EIO) : _show(task, (TOwner)owner, text);

    /// <inheritdoc/>
    public override ValueTask<Errno> StoreAsync(KernelTask task, SysfsDirectory owner, ReadOnlyMemory<byte> text) =>
        _store is null ? new ValueTask<Errno>(Errno.EIO) : _store(task, (TOwner)owner, text);
}
