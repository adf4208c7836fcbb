using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Apvirt.Sysfs.Fuse.Native;

/// <summary>What is used of libfuse3's low-level interface (fuse_lowlevel.h, API 3.0 and later).</summary>
internal static unsafe partial class LibFuse
{
    internal const string Library = "libfuse3.so.3";

    /// <summary>Inode number of the top directory.</summary>
    internal const ulong RootId = 1;

    /// <summary>A file number that a listing gives for an entry that nobody has looked up.</summary>
    internal const ulong UnknownId = 0xffffffff;

    [LibraryImport(Library, EntryPoint = "fuse_session_new")]
    internal static partial nint SessionNew(FuseArgs* args, LowLevelOperations* operations, nuint size, nint userData);

    [LibraryImport(Library, EntryPoint = "fuse_session_mount", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int SessionMount(nint session, string mountPoint);

    [LibraryImport(Library, EntryPoint = "fuse_session_receive_buf")]
    internal static partial int SessionReceive(nint session, FuseBuffer* buffer);

    [LibraryImport(Library, EntryPoint = "fuse_session_process_buf")]
    internal static partial void SessionProcess(nint session, FuseBuffer* buffer);

    [LibraryImport(Library, EntryPoint = "fuse_session_exit")]
    internal static partial void SessionExit(nint session);

    [LibraryImport(Library, EntryPoint = "fuse_session_exited")]
    internal static partial int SessionExited(nint session);

    [LibraryImport(Library, EntryPoint = "fuse_session_destroy")]
    internal static partial void SessionDestroy(nint session);

    [LibraryImport(Library, EntryPoint = "fuse_req_userdata")]
    [SuppressGCTransition]
    internal static partial nint RequestUserData(nint request);

    [LibraryImport(Library, EntryPoint = "fuse_req_interrupt_func")]
    internal static partial void RequestInterruptFunction(nint request, delegate* unmanaged[Cdecl]<nint, nint, void> function, nint data);

    [LibraryImport(Library, EntryPoint = "fuse_reply_err")]
    internal static partial int ReplyError(nint request, int error);

    [LibraryImport(Library, EntryPoint = "fuse_reply_none")]
    internal static partial void ReplyNone(nint request);

    [LibraryImport(Library, EntryPoint = "fuse_reply_entry")]
    internal static partial int ReplyEntry(nint request, byte* entry);

    [LibraryImport(Library, EntryPoint = "fuse_reply_attr")]
    internal static partial int ReplyAttributes(nint request, byte* stat, double timeout);

    [LibraryImport(Library, EntryPoint = "fuse_reply_readlink")]
    internal static partial int ReplyLink(nint request, byte* text);

    [LibraryImport(Library, EntryPoint = "fuse_reply_open")]
    internal static partial int ReplyOpen(nint request, FuseFileInfo* file);

    [LibraryImport(Library, EntryPoint = "fuse_reply_write")]
    internal static partial int ReplyWrite(nint request, nuint count);

    [LibraryImport(Library, EntryPoint = "fuse_reply_buf")]
    internal static partial int ReplyBuffer(nint request, byte* buffer, nuint size);

    [LibraryImport(Library, EntryPoint = "fuse_add_direntry")]
    internal static partial nuint AddEntry(nint request, byte* buffer, nuint size, byte* name, byte* stat, long offset);

    [LibraryImport(Library, EntryPoint = "fuse_add_direntry_plus")]
    internal static partial nuint AddEntryPlus(nint request, byte* buffer, nuint size, byte* name, byte* entry, long offset);

    [LibraryImport(Library, EntryPoint = "fuse_lowlevel_notify_inval_entry")]
    internal static partial int NotifyEntryGone(nint session, ulong parent, byte* name, nuint length);

    /// <summary>Whether the library can be loaded.</summary>
    internal static bool IsInstalled { get; } = NativeLibrary.TryLoad(Library, out _);
}

/// <summary><c>struct fuse_args</c></summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct FuseArgs
{
    internal int Count;
    internal byte** Values;
    internal int IsAllocated;
}

/// <summary><c>struct fuse_buf</c></summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseBuffer
{
    internal nuint Size;
    internal int Flags;
    internal nint Memory;
    internal int File;
    internal long Position;
}

/// <summary><c>struct fuse_file_info</c>, as far as API 3.0 has it.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseFileInfo
{
    internal const uint DirectIo = 1 << 1;
    internal const uint NoFlush = 1 << 7;

    internal int Flags;
    internal uint Bits;
    internal uint Padding;
    internal ulong Handle;
    internal ulong LockOwner;
    internal uint PollEvents;
}

/// <summary><c>struct fuse_conn_info</c></summary>
[StructLayout(LayoutKind.Sequential)]
internal struct FuseConnection
{
    internal const uint AtomicTruncate = 1 << 3;
    internal const uint SpliceWrite = 1 << 7;
    internal const uint SpliceMove = 1 << 8;
    internal const uint SpliceRead = 1 << 9;
    internal const uint AutoInvalidateData = 1 << 12;
    internal const uint ReadDirPlus = 1 << 13;
    internal const uint ReadDirPlusAuto = 1 << 14;
    internal const uint ParallelDirectoryOperations = 1 << 18;
    internal const uint CacheLinks = 1 << 23;

    internal uint Major;
    internal uint Minor;
    internal uint MaxWrite;
    internal uint MaxRead;
    internal uint MaxReadAhead;
    internal uint Capable;
    internal uint Wanted;
    internal uint MaxBackground;
    internal uint CongestionThreshold;
    internal uint TimeGranularity;
    internal ReservedWords Reserved;

    [InlineArray(22)]
    internal struct ReservedWords
    {
        private uint _first;
    }
}
