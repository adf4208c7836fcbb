using System.Runtime.InteropServices;
using Apvirt.Devices.Sysfs;
using Apvirt.Sysfs.Fuse.Native;

namespace Apvirt.Sysfs.Fuse.Serving;

/// <summary>Something of the tree that the operating system knows by a number.</summary>
internal sealed class Node
{
    internal Node(ulong id, ulong parent, SysfsDirectory? within, SysfsEntry entry)
    {
        Id = id;
        Parent = parent;
        Within = within;
        Entry = entry;
    }

    internal ulong Id { get; }

    internal ulong Parent { get; }

    /// <summary>The directory that it was found in, null for the top.</summary>
    internal SysfsDirectory? Within { get; }

    internal SysfsEntry Entry { get; }

    /// <summary>How often its number was given out and not forgotten. Guarded by the table.</summary>
    internal ulong Lookups { get; set; }

    /// <summary>Fills a <c>struct stat</c>.</summary>
    internal unsafe void WriteStat(StatLayout layout, byte* at, long seconds) => WriteStat(Entry, Id, layout, at, seconds);

    /// <summary>Fills a <c>struct stat</c> of an entry: G1 of sysfs.md §0.</summary>
    internal static unsafe void WriteStat(in SysfsEntry entry, ulong id, StatLayout layout, byte* at, long seconds)
    {
        (uint mode, long size) = entry.Kind switch
        {
            SysfsEntryKind.Directory => (0x4000u | 0b111_101_101, 0L),
            SysfsEntryKind.Link => (0xA000u | 0b111_111_111, 0L),
            _ => (0x8000u | (uint)entry.Attribute!.Mode, 4096L),
        };
        layout.Write(at, id, mode, links: 1, size, seconds);
    }
}

/// <summary>
/// The numbers by which the operating system knows parts of the tree. A number is good until the system forgets it, also
/// when the thing itself has gone; the same name with another thing behind it gets another number.
/// </summary>
internal sealed class NodeTable
{
    // Guards everything here; a leaf.
    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, Node> _byId = [];
    private readonly Dictionary<(ulong Parent, string Name), Node> _byName = [];
    private readonly Dictionary<SysfsDirectory, Node> _byDirectory = [];
    private ulong _lastId = LibFuse.RootId;

    internal NodeTable(SysfsDirectory top)
    {
        Node root = new(LibFuse.RootId, parent: 0, within: null, SysfsEntry.Of(top)) { Lookups = 1 };
        _byId.Add(root.Id, root);
        _byDirectory.Add(top, root);
    }

    internal Node? Find(ulong id)
    {
        lock (_gate)
            return _byId.GetValueOrDefault(id);
    }

    /// <summary>Gives out the number of an entry once more.</summary>
    internal Node LookUp(Node parent, in SysfsEntry entry)
    {
        SysfsDirectory within = parent.Entry.Directory;
        lock (_gate)
        {
            ref Node? node = ref CollectionsMarshal.GetValueRefOrAddDefault(_byName, (parent.Id, entry.Name), out _);
            if (node is null || !node.Entry.IsSameAs(entry))
            {
                node = new Node(++_lastId, parent.Id, within, entry);
                _byId.Add(node.Id, node);
                if (entry.Kind == SysfsEntryKind.Directory)
                    _byDirectory[entry.Directory] = node;
            }
            node.Lookups++;
            return node;
        }
    }

    /// <summary>The number of an entry if it is known, for a listing.</summary>
    internal ulong Peek(Node parent, string name)
    {
        lock (_gate)
            return _byName.TryGetValue((parent.Id, name), out Node? node) ? node.Id : LibFuse.UnknownId;
    }

    /// <summary>The number of a directory; null if the operating system does not know it, so has kept nothing about it.</summary>
    internal ulong? IdOf(SysfsDirectory directory)
    {
        lock (_gate)
            return _byDirectory.TryGetValue(directory, out Node? node) ? node.Id : null;
    }

    internal void Forget(ulong id, ulong lookups)
    {
        lock (_gate)
        {
            if (id == LibFuse.RootId || !_byId.TryGetValue(id, out Node? node))
                return;
            node.Lookups -= Math.Min(lookups, node.Lookups);
            if (node.Lookups > 0)
                return;
            _byId.Remove(id);
            if (_byName.TryGetValue((node.Parent, node.Entry.Name), out Node? named) && named == node)
                _byName.Remove((node.Parent, node.Entry.Name));
            if (node.Entry.Kind == SysfsEntryKind.Directory && _byDirectory.TryGetValue(node.Entry.Directory, out Node? directory) && directory == node)
                _byDirectory.Remove(node.Entry.Directory);
        }
    }
}
