namespace Apvirt.Control;

/// <summary>Whose a file is, what it is, and what others may do with it.</summary>
/// <param name="User">Its owner.</param>
/// <param name="Mode">Its type and its mode, as the operating system has them.</param>
internal readonly record struct FileStatus(uint User, ushort Mode)
{
    private const int TypeMask = 0xF000;
    private const int Link = 0xA000;
    private const int Directory = 0x4000;
    private const UnixFileMode PermissionMask = (UnixFileMode)0x1FF;
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    internal bool IsLink => (Mode & TypeMask) == Link;

    internal bool IsDirectory => (Mode & TypeMask) == Directory;

    /// <summary>Whether its mode is 0700. What a parent hands down beside it (set-group-id) lets nobody in.</summary>
    internal bool IsPrivate => (Permissions & (PermissionMask | UnixFileMode.StickyBit)) == OwnerOnly;

    /// <summary>Whether others can exchange what is in it.</summary>
    internal bool IsOpen => (Permissions & (UnixFileMode.GroupWrite | UnixFileMode.OtherWrite)) != UnixFileMode.None && !Permissions.HasFlag(UnixFileMode.StickyBit);

    private UnixFileMode Permissions => (UnixFileMode)(Mode & ~TypeMask);

    /// <summary>For messages.</summary>
    public override string ToString() =>
        IsLink ? $"a symbolic link of uid {User}"
        : IsDirectory ? $"a directory of uid {User} with mode {Convert.ToString((int)Permissions, 8).PadLeft(4, '0')}"
        : "no directory";
}
