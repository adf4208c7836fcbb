using System.Runtime.InteropServices;
using Apvirt.Devices.Sysfs;
using Apvirt.Sysfs.Fuse.Native;
using Apvirt.Sysfs.Fuse.Serving;

namespace Apvirt.Sysfs.Fuse.Mounts;

/// <summary>
/// A tree mounted on a directory: sysfs as the operating system's own file calls see it (sysfs.md §0). Disposing unmounts;
/// callers that sleep in it then get EINTR.
/// </summary>
/// <remarks>
/// Lifetimes: the threads receive requests until the session ends; the server lives until the last of them has ended, then
/// the session of libfuse is destroyed.
/// </remarks>
public sealed class SysfsMount : IDisposable
{
    // Callers sleep without a thread, so few are enough; with one, a second caller would wait for the first one's answer.
    private const int ThreadsMax = 4;

    private static readonly TimeSpan EndPatience = TimeSpan.FromSeconds(2);

    private readonly SysfsServer _server;
    private readonly nint _session;
    private readonly bool _isWatched;
    private MountWatcher? _watcher;
    private GCHandle _handle;
    private string? _namespace;
    private int _isDisposed;

    private readonly ManualResetEventSlim _isMounted = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private SysfsMount(SysfsServer server, nint session, GCHandle handle, bool isWatched)
    {
        _server = server;
        _session = session;
        _isWatched = isWatched;
        _handle = handle;
        StartThreads();
    }

    /// <summary>Where the tree is mounted, null before.</summary>
    public string? Directory { get; private set; }

    /// <summary>Open files, open directories and sleeping calls now, for tests and statistics.</summary>
    public (int Files, int Directories, int Sleeping) Usage =>
        (_server.Files.Count, _server.Listings.Count, _server.SleepingCount);

    /// <summary>Ends when the tree is not mounted any more, whoever unmounted it.</summary>
    public Task Ended => _ended.Task;

    /// <summary>
    /// Prepares a mount. Its threads begin here, so they stay in the caller's mount namespace: one that answers for a tree
    /// must not find that tree in its own <c>/sys</c>, where the C library looks whenever a thread begins.
    /// </summary>
    /// <param name="tree">The tree.</param>
    /// <param name="kernel">How calls enter the kernel layers.</param>
    /// <param name="mount">The mount; null if it failed.</param>
    /// <param name="options">What is special about it.</param>
    /// <returns>Why it failed, in a sentence that says what to do; null if it did not.</returns>
    public static string? Prepare(SysfsTree tree, IKernelEntry kernel, out SysfsMount? mount, SysfsMountOptions? options = null)
    {
        mount = null;
        if (MountConditions.WhatIsMissing() is { } missing)
            return missing;
        SysfsServer server = new(tree, kernel, StatLayout.Here!);
        GCHandle handle = GCHandle.Alloc(server);
        options ??= new SysfsMountOptions();
        nint session = NewSession(GCHandle.ToIntPtr(handle), options);
        if (session != 0)
        {
            mount = new SysfsMount(server, session, handle, options.IsWatched);
            return null;
        }
        server.Dispose();
        handle.Free();
        return "libfuse3 does not take the mount's options; it has said why";
    }

    /// <summary>Prepares a mount and mounts it.</summary>
    /// <param name="tree">The tree.</param>
    /// <param name="kernel">How calls enter the kernel layers.</param>
    /// <param name="directory">An existing directory; what is in it is hidden meanwhile.</param>
    /// <param name="mount">The mount; null if it failed.</param>
    /// <param name="options">What is special about it.</param>
    /// <returns>Why it failed, in a sentence that says what to do; null if it did not.</returns>
    public static string? Start(SysfsTree tree, IKernelEntry kernel, string directory, out SysfsMount? mount, SysfsMountOptions? options = null)
    {
        if (Prepare(tree, kernel, out mount, options) is { } problem)
            return problem;
        if (mount!.MountOn(directory) is not { } refusal)
            return null;
        mount.Dispose();
        mount = null;
        return refusal;
    }

    /// <summary>Mounts, once, in the mount namespace of the calling thread.</summary>
    /// <param name="directory">An existing directory; what is in it is hidden meanwhile.</param>
    /// <returns>Why it failed, in a sentence that says what to do; null if it did not.</returns>
    public string? MountOn(string directory)
    {
        if (MountConditions.ClearLeftover(directory) is { } leftover)
            return leftover;
        if (!System.IO.Directory.Exists(directory))
            return $"{directory} is no directory; make it first";
        if (LibFuse.SessionMount(_session, directory) != 0)
            return $"{directory} cannot be mounted on; libfuse has said why";
        Directory = directory;
        _namespace = MountConditions.Namespace;
        if (_isWatched)
            _watcher = MountWatcher.Start(directory);
        _server.Forgetter.Start(_session);
        _isMounted.Set();
        return null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
            return;
        _server.AbandonCalls();
        LibFuse.SessionExit(_session);
        // In another namespace the same path is another mount. One in a private namespace goes with that.
        if (Directory is not null && MountConditions.Namespace == _namespace)
            _ = LibC.Unmount(Directory, LibC.UnmountDetach);
        _watcher?.Dispose();
        _isMounted.Set();
        bool hasEnded = _ended.Task.Wait(EndPatience);
        // Somebody still sits in the tree: it goes with the process.
        if (!hasEnded)
            return;
        // Where the connection was cut by others, calls may have gone to sleep since: none may answer a session that is gone.
        _server.AbandonCalls();
        _server.Dispose();
        LibFuse.SessionDestroy(_session);
        _isMounted.Dispose();
        _handle.Free();
    }

    private static unsafe nint NewSession(nint userData, SysfsMountOptions options)
    {
        string[] arguments = ["apvirt", "-o", options.ToText()];
        byte** values = stackalloc byte*[arguments.Length];
        for (int i = 0; i < arguments.Length; i++)
            values[i] = (byte*)Marshal.StringToCoTaskMemUTF8(arguments[i]);
        FuseArgs args = new() { Count = arguments.Length, Values = values };
        LowLevelOperations operations = Requests.Table;
        nint session = LibFuse.SessionNew(&args, &operations, (nuint)sizeof(LowLevelOperations), userData);
        for (int i = 0; i < arguments.Length; i++)
            Marshal.FreeCoTaskMem((nint)values[i]);
        return session;
    }

    private void StartThreads()
    {
        int count = Math.Clamp(Environment.ProcessorCount, 2, ThreadsMax);
        int running = count;
        for (int i = 0; i < count; i++)
        {
            Thread thread = new(() =>
            {
                _isMounted.Wait();
                Receive();
                if (Interlocked.Decrement(ref running) == 0)
                    _ended.TrySetResult();
            })
            {
                IsBackground = true,
                Name = $"apvirt serves sysfs {i}",
            };
            thread.Start();
        }
    }

    private unsafe void Receive()
    {
        const int interrupted = -4;
        FuseBuffer buffer = default;
        while (LibFuse.SessionExited(_session) == 0)
        {
            int received = LibFuse.SessionReceive(_session, &buffer);
            if (received == interrupted)
                continue;
            if (received <= 0)
                break;
            LibFuse.SessionProcess(_session, &buffer);
        }
        LibC.Free(buffer.Memory);
    }
}
