using Apvirt.Devices.Sysfs;
using Apvirt.Sysfs.Fuse.Native;

namespace Apvirt.Sysfs.Fuse.Serving;

/// <summary>
/// What a mounted tree consists of: the numbers that the operating system knows, the open files, the calls under way and
/// those that rest. <see cref="Requests"/> answers requests with it.
/// </summary>
/// <remarks>
/// Locks, each a leaf: those of the tables, and <c>_gate</c> here. No lock is held while a call runs in the kernel layers.
/// </remarks>
internal sealed class SysfsServer : IDisposable
{
    private const int RestingCalls = 64;

    private readonly SysfsTree _tree;
    private readonly IKernelEntry _kernel;

    // Guards _resting, _sleeping and _unanswered.
    private readonly Lock _gate = new();
    private readonly Stack<SysfsCall> _resting = [];
    private readonly HashSet<SysfsCall> _sleeping = [];

    // Calls that have slept and whose caller still waits for an answer.
    private readonly HashSet<SysfsCall> _unanswered = [];

    internal SysfsServer(SysfsTree tree, IKernelEntry kernel, StatLayout layout)
    {
        _tree = tree;
        _kernel = kernel;
        Layout = layout;
        Nodes = new NodeTable(tree.Root);
        Forgetter = new Forgetter(Nodes);
        Seconds = kernel.Runtime.Time.GetUtcNow().ToUnixTimeSeconds();
        _tree.EntryGone += Forgetter.Gone;
    }

    internal StatLayout Layout { get; }

    /// <summary>Time stamp of every entry: when the tree was mounted, in seconds since 1970.</summary>
    internal long Seconds { get; }

    internal NodeTable Nodes { get; }

    internal OpenFileTable Files { get; } = new();

    internal ListingTable Listings { get; } = new();

    internal Forgetter Forgetter { get; }

    /// <summary>Number of calls that sleep in the kernel layers.</summary>
    internal int SleepingCount
    {
        get
        {
            lock (_gate)
                return _sleeping.Count;
        }
    }

    internal void Read(nint request, ulong file, long offset, nuint size) =>
        _kernel.Enter(Rent().Read(request, Files.Use(file), offset, size));

    internal unsafe void Write(nint request, ulong file, byte* data, nuint size) =>
        _kernel.Enter(Rent().Write(request, Files.Use(file), data, size));

    internal void Slept(SysfsCall call)
    {
        lock (_gate)
        {
            _sleeping.Add(call);
            _unanswered.Add(call);
        }
    }

    internal void Woke(SysfsCall call)
    {
        lock (_gate)
            _sleeping.Remove(call);
    }

    /// <summary>A call has ended. One whose task was signalled is not used again.</summary>
    internal void Return(SysfsCall call, OpenFile file, bool isFresh)
    {
        Files.Leave(file);
        lock (_gate)
        {
            _unanswered.Remove(call);
            if (isFresh && _resting.Count < RestingCalls)
                _resting.Push(call);
        }
    }

    /// <summary>Lets every caller go that waits for a sleeping call. When this returns none of them waits any more.</summary>
    internal void AbandonCalls()
    {
        SysfsCall[] calls;
        lock (_gate)
            calls = [.. _unanswered];
        foreach (SysfsCall call in calls)
            call.Abandon();
    }

    public void Dispose()
    {
        _tree.EntryGone -= Forgetter.Gone;
        Forgetter.Dispose();
    }

    private SysfsCall Rent()
    {
        lock (_gate)
        {
            if (_resting.TryPop(out SysfsCall? call))
                return call;
        }
        return new SysfsCall(this, _kernel.Runtime.CreateTask("sysfs client"));
    }
}
