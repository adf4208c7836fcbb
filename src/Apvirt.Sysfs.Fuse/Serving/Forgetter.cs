using System.Collections.Concurrent;
using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Sysfs.Fuse.Native;

namespace Apvirt.Sysfs.Fuse.Serving;

/// <summary>
/// Tells the operating system which names it must forget, because what they named has gone. It remembers names without
/// limit, so that a path costs no question; in return it is told of each one that goes.
/// </summary>
/// <remarks>
/// A thread of its own, because the operating system takes the directory's lock for it, which a lookup that waits for
/// this server may hold. Nothing that answers requests waits for this thread; a write whose names go is answered by it.
/// </remarks>
internal sealed class Forgetter : IDisposable
{
    private readonly BlockingCollection<Item> _items = [];
    private readonly NodeTable _nodes;
    private readonly Thread _thread;
    private nint _session;
    private int _pending;

    internal Forgetter(NodeTable nodes)
    {
        _nodes = nodes;
        _thread = new Thread(Work) { IsBackground = true, Name = "apvirt forgets names" };
        _thread.Start();
    }

    /// <summary>Whether names are still being forgotten.</summary>
    internal bool IsBusy => Volatile.Read(ref _pending) > 0;

    /// <summary>The tree is mounted; before that nothing of it is remembered anywhere.</summary>
    internal void Start(nint session) => _session = session;

    /// <summary>An entry has gone.</summary>
    internal void Gone(SysfsDirectory directory, string name)
    {
        if (_session != 0 && _nodes.IdOf(directory) is { } parent)
            Add(new Item(parent, name, Then: null));
    }

    /// <summary>Does something when all that has gone so far is forgotten.</summary>
    internal void After(Action then) => Add(new Item(0, "", then));

    public void Dispose()
    {
        _items.CompleteAdding();
        _thread.Join();
        _items.Dispose();
    }

    private void Add(Item item)
    {
        Interlocked.Increment(ref _pending);
        try
        {
            _items.Add(item);
        }
        catch (InvalidOperationException)
        {
            // The tree is not mounted any more: nobody remembers names, and whoever waits for this has been answered.
            item.Then?.Invoke();
        }
    }

    private void Work()
    {
        Span<byte> name = stackalloc byte[256];
        foreach (Item item in _items.GetConsumingEnumerable())
        {
            if (item.Then is not null)
                item.Then();
            else
                Forget(item, name);
            Interlocked.Decrement(ref _pending);
        }
    }

    // ENOENT says that the name was not remembered, which is as good.
    private unsafe void Forget(in Item item, Span<byte> name)
    {
        int length = Encoding.UTF8.GetBytes(item.Name, name);
        fixed (byte* text = name)
            _ = LibFuse.NotifyEntryGone(_session, item.Parent, text, (nuint)length);
    }

    private readonly record struct Item(ulong Parent, string Name, Action? Then);
}
