using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Sysfs.Fuse.Native;

namespace Apvirt.Sysfs.Fuse.Serving;

/// <summary>The functions that libfuse calls, one per kind of request. They only look things up and never wait.</summary>
internal static unsafe class Requests
{
    // The operating system keeps names and attributes for good: attributes never change, and Forgetter tells of names that go.
    private const double ForGood = 1e9;
    private const int AccessMask = 3;
    private const int ReadOnly = 0;
    private const int WriteOnly = 1;
    private const int NameMax = 255;
    private const int Dots = 2;
    private const int SetModeOwnerGroup = 0b111;

    internal static LowLevelOperations Table => new()
    {
        Init = &Init,
        Lookup = &Lookup,
        Forget = &Forget,
        ForgetMany = &ForgetMany,
        GetAttributes = &GetAttributes,
        SetAttributes = &SetAttributes,
        ReadLink = &ReadLink,
        MakeNode = &MakeNode,
        MakeDirectory = &MakeDirectory,
        Unlink = &RefuseName,
        RemoveDirectory = &RefuseName,
        SymbolicLink = &SymbolicLink,
        Rename = &Rename,
        Link = &Link,
        Create = &Create,
        Open = &Open,
        Read = &Read,
        Write = &Write,
        Release = &Release,
        OpenDirectory = &OpenDirectory,
        ReleaseDirectory = &ReleaseDirectory,
        ReadDirectory = &ReadDirectory,
        ReadDirectoryPlus = &ReadDirectoryPlus,
    };

    private static SysfsServer ServerOf(nint request) => (SysfsServer)GCHandle.FromIntPtr(LibFuse.RequestUserData(request)).Target!;

    private static void Fail(nint request, Errno error) => _ = LibFuse.ReplyError(request, (int)error);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Init(nint data, FuseConnection* connection)
    {
        uint wanted = FuseConnection.AtomicTruncate | FuseConnection.ReadDirPlus | FuseConnection.ReadDirPlusAuto
            | FuseConnection.ParallelDirectoryOperations | FuseConnection.CacheLinks;
        // Pages that small are copied faster than they are spliced.
        uint unwanted = FuseConnection.SpliceRead | FuseConnection.SpliceWrite | FuseConnection.SpliceMove | FuseConnection.AutoInvalidateData;
        connection->Wanted = (connection->Wanted | (wanted & connection->Capable)) & ~unwanted;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Lookup(nint request, ulong parent, byte* name)
    {
        SysfsServer server = ServerOf(request);
        ReadOnlySpan<byte> bytes = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(name);
        if (bytes.Length > NameMax)
        {
            Fail(request, Errno.ENAMETOOLONG);
            return;
        }
        Span<char> text = stackalloc char[NameMax];
        text = text[..Encoding.Latin1.GetChars(bytes, text)];
        if (server.Nodes.Find(parent) is not { Entry.Kind: SysfsEntryKind.Directory } directory || !directory.Entry.Directory.TryFind(text, out SysfsEntry entry))
        {
            Fail(request, Errno.ENOENT);
            return;
        }
        byte* answer = stackalloc byte[StatLayout.EntrySizeMax];
        WriteEntry(server, server.Nodes.LookUp(directory, entry), answer);
        _ = LibFuse.ReplyEntry(request, answer);
    }

    private static void WriteEntry(SysfsServer server, Node node, byte* at)
    {
        StatLayout layout = server.Layout;
        Unsafe.WriteUnaligned(at, node.Id);
        Unsafe.WriteUnaligned(at + 8, 0UL);
        node.WriteStat(layout, at + StatLayout.EntryStat, server.Seconds);
        Unsafe.WriteUnaligned(at + layout.EntryAttributeTimeout, ForGood);
        Unsafe.WriteUnaligned(at + layout.EntryTimeout, ForGood);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Forget(nint request, ulong node, ulong lookups)
    {
        ServerOf(request).Nodes.Forget(node, lookups);
        LibFuse.ReplyNone(request);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void ForgetMany(nint request, nuint count, ForgetItem* items)
    {
        NodeTable nodes = ServerOf(request).Nodes;
        foreach (ForgetItem item in new ReadOnlySpan<ForgetItem>(items, (int)count))
            nodes.Forget(item.Node, item.Lookups);
        LibFuse.ReplyNone(request);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void GetAttributes(nint request, ulong id, FuseFileInfo* file) => AnswerAttributes(request, id);

    // Truncating is accepted and does nothing (G7), and so does setting times; owner and mode stay what they are.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void SetAttributes(nint request, ulong id, byte* stat, int toSet, FuseFileInfo* file)
    {
        if ((toSet & SetModeOwnerGroup) != 0)
            Fail(request, Errno.EPERM);
        else
            AnswerAttributes(request, id);
    }

    private static void AnswerAttributes(nint request, ulong id)
    {
        SysfsServer server = ServerOf(request);
        if (server.Nodes.Find(id) is not { } node)
        {
            Fail(request, Errno.ENOENT);
            return;
        }
        byte* stat = stackalloc byte[StatLayout.EntrySizeMax];
        node.WriteStat(server.Layout, stat, server.Seconds);
        _ = LibFuse.ReplyAttributes(request, stat, ForGood);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void ReadLink(nint request, ulong id)
    {
        if (ServerOf(request).Nodes.Find(id) is not { Entry.Kind: SysfsEntryKind.Link } node)
        {
            Fail(request, Errno.EINVAL);
            return;
        }
        byte[] text = Encoding.UTF8.GetBytes(node.Within!.RelativePathTo(node.Entry.Directory) + '\0');
        fixed (byte* bytes = text)
            _ = LibFuse.ReplyLink(request, bytes);
    }

    // G8: nothing can be made, moved or removed.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MakeNode(nint request, ulong parent, byte* name, uint mode, ulong device) => Fail(request, Errno.EPERM);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void MakeDirectory(nint request, ulong parent, byte* name, uint mode) => Fail(request, Errno.EPERM);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void RefuseName(nint request, ulong parent, byte* name) => Fail(request, Errno.EPERM);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void SymbolicLink(nint request, byte* text, ulong parent, byte* name) => Fail(request, Errno.EPERM);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Rename(nint request, ulong parent, byte* name, ulong newParent, byte* newName, uint flags) => Fail(request, Errno.EPERM);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Link(nint request, ulong node, ulong newParent, byte* newName) => Fail(request, Errno.EPERM);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Create(nint request, ulong parent, byte* name, uint mode, FuseFileInfo* file) => Fail(request, Errno.EACCES);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Open(nint request, ulong id, FuseFileInfo* file)
    {
        SysfsServer server = ServerOf(request);
        SysfsAccess access = (file->Flags & AccessMask) switch
        {
            ReadOnly => SysfsAccess.Read,
            WriteOnly => SysfsAccess.Write,
            _ => SysfsAccess.Read | SysfsAccess.Write,
        };
        Errno error = Errno.ENOENT;
        if (server.Nodes.Find(id) is { } node)
        {
            error = SysfsFile.CheckAccess(node.Entry, access);
            if (error == Errno.Ok)
            {
                // What is gone is looked for again by its path, which then ends with ENOENT, or finds its successor.
                if (node.Entry.References!.IsDeleted(runtime: null))
                {
                    Fail(request, Errno.ESTALE);
                    return;
                }
                file->Handle = (ulong)server.Files.Open(node.Entry).Number;
                file->Bits |= FuseFileInfo.DirectIo | FuseFileInfo.NoFlush;
                // A caller that was interrupted while it opened closes nothing.
                if (LibFuse.ReplyOpen(request, file) == -(int)Errno.ENOENT)
                    server.Files.Close(file->Handle);
                return;
            }
        }
        Fail(request, error);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Read(nint request, ulong id, nuint size, long offset, FuseFileInfo* file) =>
        ServerOf(request).Read(request, file->Handle, offset, size);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Write(nint request, ulong id, byte* data, nuint size, long offset, FuseFileInfo* file) =>
        ServerOf(request).Write(request, file->Handle, data, size);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Release(nint request, ulong id, FuseFileInfo* file)
    {
        ServerOf(request).Files.Close(file->Handle);
        _ = LibFuse.ReplyError(request, 0);
    }

    // A listing is of one moment. Asking for it to be kept would save the next question, but a listing that changes while
    // it is on its way would then be kept for good.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void OpenDirectory(nint request, ulong id, FuseFileInfo* file)
    {
        SysfsServer server = ServerOf(request);
        file->Handle = server.Listings.Open();
        if (LibFuse.ReplyOpen(request, file) == -(int)Errno.ENOENT)
            server.Listings.Close(file->Handle);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void ReleaseDirectory(nint request, ulong id, FuseFileInfo* file)
    {
        ServerOf(request).Listings.Close(file->Handle);
        _ = LibFuse.ReplyError(request, 0);
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void ReadDirectory(nint request, ulong id, nuint size, long offset, FuseFileInfo* file) =>
        List(request, id, size, offset, file->Handle, isPlus: false);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void ReadDirectoryPlus(nint request, ulong id, nuint size, long offset, FuseFileInfo* file) =>
        List(request, id, size, offset, file->Handle, isPlus: true);

    private static void List(nint request, ulong id, nuint size, long offset, ulong handle, bool isPlus)
    {
        SysfsServer server = ServerOf(request);
        if (server.Nodes.Find(id) is not { Entry.Kind: SysfsEntryKind.Directory } directory)
        {
            Fail(request, Errno.ENOENT);
            return;
        }
        SysfsEntry[] entries = server.Listings.Of(handle, directory.Entry.Directory, isNew: offset == 0);
        byte[] page = ArrayPool<byte>.Shared.Rent((int)size);
        fixed (byte* begin = page)
        {
            nuint used = 0;
            while (offset < Dots + entries.Length)
            {
                nuint added = offset < Dots ? AddDot(request, server, directory, (int)offset, begin + used, size - used, isPlus)
                    : isPlus ? AddPlus(request, server, directory, entries[offset - Dots], begin + used, size - used, offset + 1)
                    : Add(request, server, directory, entries[offset - Dots], begin + used, size - used, offset + 1);
                if (added == 0)
                    break;
                used += added;
                offset++;
            }
            _ = LibFuse.ReplyBuffer(request, begin, used);
        }
        ArrayPool<byte>.Shared.Return(page);
    }

    // The directory itself and the one above. Neither counts as a lookup, so their number in an entry is 0.
    private static nuint AddDot(nint request, SysfsServer server, Node directory, int which, byte* at, nuint room, bool isPlus)
    {
        byte* name = stackalloc byte[4] { (byte)'.', which == 0 ? (byte)0 : (byte)'.', 0, 0 };
        byte* entry = stackalloc byte[StatLayout.EntrySizeMax];
        NativeMemory.Clear(entry, StatLayout.EntrySizeMax);
        byte* stat = entry + StatLayout.EntryStat;
        Node.WriteStat(directory.Entry, which == 0 || directory.Id == LibFuse.RootId ? directory.Id : directory.Parent, server.Layout, stat, server.Seconds);
        nuint needed = isPlus
            ? LibFuse.AddEntryPlus(request, at, room, name, entry, which + 1)
            : LibFuse.AddEntry(request, at, room, name, stat, which + 1);
        return needed > room ? 0 : needed;
    }

    private static nuint Add(nint request, SysfsServer server, Node directory, in SysfsEntry entry, byte* at, nuint room, long next)
    {
        byte* name = stackalloc byte[NameMax + 1];
        WriteName(entry.Name, name);
        byte* stat = stackalloc byte[StatLayout.EntrySizeMax];
        Node.WriteStat(entry, server.Nodes.Peek(directory, entry.Name), server.Layout, stat, server.Seconds);
        nuint needed = LibFuse.AddEntry(request, at, room, name, stat, next);
        return needed > room ? 0 : needed;
    }

    private static nuint AddPlus(nint request, SysfsServer server, Node directory, in SysfsEntry entry, byte* at, nuint room, long next)
    {
        byte* name = stackalloc byte[NameMax + 1];
        WriteName(entry.Name, name);
        if (LibFuse.AddEntryPlus(request, null, 0, name, null, 0) > room)
            return 0;
        byte* answer = stackalloc byte[StatLayout.EntrySizeMax];
        WriteEntry(server, server.Nodes.LookUp(directory, entry), answer);
        return LibFuse.AddEntryPlus(request, at, room, name, answer, next);
    }

    private static void WriteName(string name, byte* at)
    {
        int length = Encoding.UTF8.GetBytes(name, new Span<byte>(at, NameMax));
        at[length] = 0;
    }
}
