using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Apvirt.Sysfs.Fuse.Native;

/// <summary>The system calls about mounts.</summary>
internal static unsafe partial class LibC
{
    internal const int NewMountNamespace = 0x20000;
    internal const ulong MountBind = 0x1000;
    internal const ulong MountRecursive = 0x4000;
    internal const ulong MountPrivate = 1 << 18;
    internal const int UnmountDetach = 2;

    [LibraryImport("libc", EntryPoint = "mount", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int Mount(string? source, string target, string? type, ulong flags, nint data);

    [LibraryImport("libc", EntryPoint = "umount2", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int Unmount(string target, int flags);

    [LibraryImport("libc", EntryPoint = "unshare", SetLastError = true)]
    internal static partial int Unshare(int flags);

    [LibraryImport("libc", EntryPoint = "free")]
    internal static partial void Free(nint memory);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    internal static partial uint EffectiveUser();

    [LibraryImport("libc", EntryPoint = "access", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    internal static partial int Access(string path, int mode);

    private const int OpenPath = 0x200000;
    private const int OpenCloseOnExec = 0x80000;

    /// <summary>Opens a directory as a place to name others from, which is all that it can be used for.</summary>
    internal static SafeFileHandle OpenDirectory(string path) => new(Open(path, OpenPath | OpenCloseOnExec), ownsHandle: true);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Open(string path, int flags);
}
