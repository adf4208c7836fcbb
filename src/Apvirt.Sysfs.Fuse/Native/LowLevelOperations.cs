using System.Runtime.InteropServices;

namespace Apvirt.Sysfs.Fuse.Native;

/// <summary><c>struct fuse_lowlevel_ops</c>: a table of functions; those that are null answer ENOSYS.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LowLevelOperations
{
    internal delegate* unmanaged[Cdecl]<nint, FuseConnection*, void> Init;
    internal nint Destroy;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, void> Lookup;
    internal delegate* unmanaged[Cdecl]<nint, ulong, ulong, void> Forget;
    internal delegate* unmanaged[Cdecl]<nint, ulong, FuseFileInfo*, void> GetAttributes;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, int, FuseFileInfo*, void> SetAttributes;
    internal delegate* unmanaged[Cdecl]<nint, ulong, void> ReadLink;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, uint, ulong, void> MakeNode;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, uint, void> MakeDirectory;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, void> Unlink;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, void> RemoveDirectory;
    internal delegate* unmanaged[Cdecl]<nint, byte*, ulong, byte*, void> SymbolicLink;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, ulong, byte*, uint, void> Rename;
    internal delegate* unmanaged[Cdecl]<nint, ulong, ulong, byte*, void> Link;
    internal delegate* unmanaged[Cdecl]<nint, ulong, FuseFileInfo*, void> Open;
    internal delegate* unmanaged[Cdecl]<nint, ulong, nuint, long, FuseFileInfo*, void> Read;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, nuint, long, FuseFileInfo*, void> Write;
    internal nint Flush;
    internal delegate* unmanaged[Cdecl]<nint, ulong, FuseFileInfo*, void> Release;
    internal nint Sync;
    internal delegate* unmanaged[Cdecl]<nint, ulong, FuseFileInfo*, void> OpenDirectory;
    internal delegate* unmanaged[Cdecl]<nint, ulong, nuint, long, FuseFileInfo*, void> ReadDirectory;
    internal delegate* unmanaged[Cdecl]<nint, ulong, FuseFileInfo*, void> ReleaseDirectory;
    internal nint SyncDirectory;
    internal nint FileSystemStatistics;
    internal nint SetExtended;
    internal nint GetExtended;
    internal nint ListExtended;
    internal nint RemoveExtended;
    internal nint Access;
    internal delegate* unmanaged[Cdecl]<nint, ulong, byte*, uint, FuseFileInfo*, void> Create;
    internal nint GetLock;
    internal nint SetLock;
    internal nint BlockMap;
    internal nint Control;
    internal nint Poll;
    internal nint WriteBuffer;
    internal nint RetrieveReply;
    internal delegate* unmanaged[Cdecl]<nint, nuint, ForgetItem*, void> ForgetMany;
    internal nint FileLock;
    internal nint Allocate;
    internal delegate* unmanaged[Cdecl]<nint, ulong, nuint, long, FuseFileInfo*, void> ReadDirectoryPlus;
    internal nint CopyRange;
    internal nint Seek;
}

/// <summary><c>struct fuse_forget_data</c></summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ForgetItem
{
    internal ulong Node;
    internal ulong Lookups;
}
