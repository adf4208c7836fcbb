using System.Collections.Concurrent;
using Apvirt.Host.Checks;
using Apvirt.Host.Traces;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Sysfs.Fuse.Mounts;
using Apvirt.Sysfs.Fuse.Serving;

namespace Apvirt.Sysfs.Fuse.Tests.Mounts;

/// <summary>All recordings of the real driver, with each read and each write a real system call on a mount.</summary>
public sealed class ConformanceTests
{
    private static string Traces
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
                at = at.Parent;
            return Path.Combine(at!.FullName, "tests", "conformance", "traces");
        }
    }

    public static TheoryData<string> Names => [.. Directory.GetFiles(Traces, "*.jsonl").Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_recording_has_the_same_answers_through_the_mount(string name)
    {
        Assert.SkipUnless(MountConditions.WhatIsMissing() is null, MountConditions.WhatIsMissing() ?? "");
        KernelChecks checks = new(LockOrder.Declared);
        MountedFiles? files = null;
        TraceReplayResult result = TraceReplay.Run(
            name, File.ReadAllBytes(Path.Combine(Traces, name)), checks: checks, files: session => files = new MountedFiles(session));
        int calls = files!.Calls;
        (int open, int directories, int sleeping) = files.End();
        Assert.Null(result.Error);
        Assert.Empty(result.Differences);
        Assert.True(result.OperationCount == 0 || calls > 0);
        Assert.Equal((0, 0, 0), (open, directories, sleeping));
        Assert.Empty(checks.Violations.ToArray().Where(v => v.Finding is null).Select(v => v.ToString()));
    }

    /// <summary>A session's host on a mount: the thread that replays lets the calls of other threads into the host's time.</summary>
    private sealed class MountedFiles : ITraceFiles, IKernelEntry
    {
        private readonly BlockingCollection<IThreadPoolWorkItem> _arrived = [];
        private readonly List<Task> _blocked = [];
        private readonly TraceSession _session;
        private readonly SysfsMount _mount;
        private readonly string _directory;

        internal MountedFiles(TraceSession session)
        {
            _session = session;
            _directory = Directory.CreateTempSubdirectory("apvirt-trace").FullName;
            Assert.Null(SysfsMount.Start(session.Host.Tree, this, _directory, out SysfsMount? mount));
            _mount = mount!;
        }

        internal int Calls { get; private set; }

        public KernelRuntime Runtime => _session.Runtime;

        public void Enter(IThreadPoolWorkItem call) => _arrived.Add(call);

        public Answer Read(string path) => Run(() =>
        {
            int file = MountedHost.Open(At(path), MountedHost.ReadOnly);
            if (file < 0)
                return Answer.Of(MountedHost.LastError);
            byte[] buffer = new byte[4096];
            nint count = MountedHost.Read(file, buffer, 4096);
            Errno error = MountedHost.LastError;
            _ = MountedHost.Close(file);
            return count < 0 ? Answer.Of(error) : Answer.Of(buffer.AsMemory(0, (int)count));
        });

        public Answer Write(string path, byte[] data) => Run(() =>
        {
            int file = MountedHost.Open(At(path), MountedHost.WriteOnly);
            if (file < 0)
                return Answer.Of(MountedHost.LastError);
            nint count = MountedHost.Write(file, data, (nuint)data.Length);
            Errno error = MountedHost.LastError;
            _ = MountedHost.Close(file);
            Assert.True(count < 0 || count == Math.Min(data.Length, 4096));
            return Answer.Of(count < 0 ? error : Errno.Ok);
        });

        /// <summary>Ends the mount and says what is left in it.</summary>
        internal (int Files, int Directories, int Sleeping) End()
        {
            // Writers that the trace has left blocked get their answer now.
            // Nobody waits for the operating system to say that a file was closed.
            SpinWait.SpinUntil(() => _mount.Usage.Files == _mount.Usage.Sleeping && _mount.Usage.Directories == 0, TimeSpan.FromSeconds(5));
            (int, int, int Sleeping) left = _mount.Usage;
            Assert.True(left.Sleeping <= _blocked.Count);
            _mount.Dispose();
            Assert.True(Task.WaitAll([.. _blocked], TimeSpan.FromSeconds(10)));
            Directory.Delete(_directory);
            (int files, int directories, int sleeping) = _mount.Usage;
            return (files - left.Sleeping, directories, sleeping - left.Sleeping);
        }

        private string At(string path) => _directory + path["/sys".Length..];

        private Answer Run(Func<Answer> calls)
        {
            Calls++;
            int sleeping = _mount.Usage.Sleeping;
            Task<Answer> running = Task.Run(calls);
            while (true)
            {
                if (_arrived.TryTake(out IThreadPoolWorkItem? call))
                {
                    _session.Runtime.SetHorizon(TraceSession.Patience);
                    call.Execute();
                    _session.Runtime.Run(() => _mount.Usage.Sleeping <= sleeping, TraceSession.Patience);
                    if (_mount.Usage.Sleeping > sleeping)
                    {
                        _blocked.Add(running);
                        return Answer.Blocked;
                    }
                }
                else if (running.Wait(TimeSpan.Zero))
                {
                    return running.Result;
                }
                else
                {
                    Thread.Yield();
                }
            }
        }
    }
}
