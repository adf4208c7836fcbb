using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Apvirt.Sysfs.Fuse.Native;

/// <summary>
/// Where the members of <c>struct stat</c> are; each architecture has its own. <c>struct fuse_entry_param</c> has one
/// in its middle.
/// </summary>
/// <param name="Size">Size of the whole, in bytes.</param>
/// <param name="Inode">Offset of st_ino, 8 bytes.</param>
/// <param name="Mode">Offset of st_mode, 4 bytes.</param>
/// <param name="Links">Offset of st_nlink.</param>
/// <param name="LinksSize">Size of st_nlink, 4 or 8 bytes.</param>
/// <param name="FileSize">Offset of st_size, 8 bytes.</param>
/// <param name="BlockSize">Offset of st_blksize, whose low 4 bytes lie here in either byte order used.</param>
/// <param name="Access">Offset of st_atim, 16 bytes.</param>
/// <param name="Modification">Offset of st_mtim.</param>
/// <param name="Change">Offset of st_ctim.</param>
internal sealed record StatLayout(
    int Size, int Inode, int Mode, int Links, int LinksSize, int FileSize, int BlockSize, int Access, int Modification, int Change)
{
    /// <summary>Offset of the stat in <c>struct fuse_entry_param</c>, after ino and generation.</summary>
    internal const int EntryStat = 16;

    /// <summary>The most bytes that any architecture's <c>struct fuse_entry_param</c> has.</summary>
    internal const int EntrySizeMax = EntryStat + 144 + 16;

    /// <summary>The layout here; null on an architecture that is not known.</summary>
    internal static StatLayout? Here { get; } = RuntimeInformation.ProcessArchitecture switch
    {
        Architecture.X64 => new(144, 8, 24, 16, 8, 48, 56, 72, 88, 104),
        Architecture.Arm64 => new(128, 8, 16, 20, 4, 48, 56, 72, 88, 104),
        // st_blksize is 8 bytes, most significant first.
        Architecture.S390x => new(144, 8, 24, 16, 8, 48, 108, 56, 72, 88),
        _ => null,
    };

    /// <summary>Offset of attr_timeout in <c>struct fuse_entry_param</c>.</summary>
    internal int EntryAttributeTimeout => EntryStat + Size;

    /// <summary>Offset of entry_timeout.</summary>
    internal int EntryTimeout => EntryAttributeTimeout + 8;

    /// <summary>Size of <c>struct fuse_entry_param</c>.</summary>
    internal int EntrySize => EntryTimeout + 8;

    /// <summary>Fills a <c>struct stat</c> of something that root owns.</summary>
    internal unsafe void Write(byte* at, ulong inode, uint mode, uint links, long size, long seconds)
    {
        NativeMemory.Clear(at, (nuint)Size);
        Unsafe.WriteUnaligned(at + Inode, inode);
        Unsafe.WriteUnaligned(at + Mode, mode);
        if (LinksSize == 8)
            Unsafe.WriteUnaligned(at + Links, (ulong)links);
        else
            Unsafe.WriteUnaligned(at + Links, links);
        Unsafe.WriteUnaligned(at + FileSize, size);
        Unsafe.WriteUnaligned(at + BlockSize, 4096);
        Unsafe.WriteUnaligned(at + Access, seconds);
        Unsafe.WriteUnaligned(at + Modification, seconds);
        Unsafe.WriteUnaligned(at + Change, seconds);
    }
}
