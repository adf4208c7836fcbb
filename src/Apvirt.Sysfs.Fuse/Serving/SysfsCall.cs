using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Sysfs.Fuse.Native;

namespace Apvirt.Sysfs.Fuse.Serving;

/// <summary>
/// A read or write of user space on its way through the kernel layers: a task, a buffer and whom to answer. Used again
/// for the next call, so that one which does not sleep allocates nothing.
/// </summary>
/// <remarks>
/// Lifetime: rented for a request; back in the pool when the kernel is done with it. A signal may get its caller an answer
/// earlier (EINTR) while the kernel goes on; exactly one answer is given.
/// </remarks>
internal sealed class SysfsCall(SysfsServer server, KernelTask task) : IThreadPoolWorkItem
{
    // How long a signalled call may take to end by itself before its caller is let go.
    private static readonly TimeSpan Grace = TimeSpan.FromMilliseconds(20);

    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(SysfsFile.WriteLimit, pinned: true);
    private OpenFile _file = null!;
    private long _offset;
    private int _size;
    private bool _isWrite;

    // Guards what follows while the call sleeps; a call that does not sleep has nobody to share it with. Outside the
    // locks of libfuse.
    private readonly Lock _gate = new();
    private nint _request;
    private bool _isAnswered;
    private Signal? _signal;

    /// <summary>Prepares a read.</summary>
    internal SysfsCall Read(nint request, OpenFile file, long offset, nuint size)
    {
        (_request, _file, _offset, _isWrite, _isAnswered) = (request, file, offset, false, false);
        _size = (int)nuint.Min(size, SysfsFile.WriteLimit);
        return this;
    }

    /// <summary>Prepares a write; the bytes are copied, and no more of them than a store sees (G3).</summary>
    internal unsafe SysfsCall Write(nint request, OpenFile file, byte* data, nuint size)
    {
        (_request, _file, _isWrite, _isAnswered) = (request, file, true, false);
        _size = (int)nuint.Min(size, SysfsFile.WriteLimit);
        new ReadOnlySpan<byte>(data, _size).CopyTo(_buffer);
        return this;
    }

    /// <inheritdoc/>
    public void Execute()
    {
        ValueTask<(Errno Error, int Count)> running = _isWrite
            ? _file.File.WriteAsync(task, _buffer.AsMemory(0, _size))
            : _file.File.ReadAsync(task, _offset, _buffer.AsMemory(0, _size));
        if (running.IsCompletedSuccessfully)
        {
            (Errno error, int count) = running.Result;
            End(error, count);
            return;
        }
        Listen();
        server.Slept(this);
        _ = EndAfterAsync(running);
    }

    /// <summary>The file system is being unmounted: the caller is let go, and nothing is answered afterwards.</summary>
    internal void Abandon()
    {
        task.Interrupt();
        Answer(Errno.EINTR, 0);
    }

    private async Task EndAfterAsync(ValueTask<(Errno Error, int Count)> running)
    {
        (Errno error, int count) = await running;
        server.Woke(this);
        End(error, count);
    }

    private void End(Errno error, int count)
    {
        task.ReturnToUser();
        // What a write has made go must have been forgotten before its writer looks again.
        if (_isWrite && server.Forgetter.IsBusy)
            server.Forgetter.After(() => Finish(error, count));
        else
            Finish(error, count);
    }

    private void Finish(Errno error, int count)
    {
        Answer(error, count);
        server.Return(this, _file, isFresh: !task.IsInterrupted);
    }

    private unsafe void Answer(Errno error, int count)
    {
        lock (_gate)
        {
            if (_isAnswered)
                return;
            _isAnswered = true;
            StopListening();
            if (error != Errno.Ok)
                _ = LibFuse.ReplyError(_request, (int)error);
            else if (_isWrite)
                _ = LibFuse.ReplyWrite(_request, (nuint)count);
            else
                _ = LibFuse.ReplyBuffer(_request, (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_buffer)), (nuint)count);
        }
    }

    private unsafe void Listen()
    {
        lock (_gate)
        {
            _signal = new Signal(this);
            LibFuse.RequestInterruptFunction(_request, &OnSignal, _signal.Handle);
        }
    }

    // When this returns no signal is on its way any more.
    private unsafe void StopListening()
    {
        if (_signal is null)
            return;
        LibFuse.RequestInterruptFunction(_request, null, 0);
        _signal.Free();
        _signal = null;
    }

    private bool TryInterrupt(Signal signal)
    {
        lock (_gate)
        {
            if (_signal != signal)
                return false;
            task.Interrupt();
            return true;
        }
    }

    private void LetGo(Signal signal)
    {
        lock (_gate)
        {
            if (_signal == signal)
                Answer(Errno.EINTR, 0);
        }
    }

    // Called by libfuse with a lock of its own held, so no answer can be given from here.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OnSignal(nint request, nint data) => ((Signal)GCHandle.FromIntPtr(data).Target!).Raise();

    /// <summary>A signal that may come for one sleeping request.</summary>
    private sealed class Signal : IThreadPoolWorkItem
    {
        private readonly SysfsCall _call;
        private GCHandle _self;

        internal Signal(SysfsCall call)
        {
            _call = call;
            _self = GCHandle.Alloc(this);
        }

        internal nint Handle => GCHandle.ToIntPtr(_self);

        internal void Free() => _self.Free();

        internal void Raise() => ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);

        void IThreadPoolWorkItem.Execute() => _ = InterruptAsync();

        private async Task InterruptAsync()
        {
            if (!_call.TryInterrupt(this))
                return;
            await Task.Delay(Grace);
            _call.LetGo(this);
        }
    }
}
