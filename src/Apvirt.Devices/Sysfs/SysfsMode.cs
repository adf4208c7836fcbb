namespace Apvirt.Devices.Sysfs;

/// <summary>Permission bits of attribute files (sysfs.md; octal values in the names' comments).</summary>
[Flags]
public enum SysfsMode
{
    /// <summary>No permission.</summary>
    None = 0,
    /// <summary>0444; also the mask of any read bit.</summary>
    ReadOnly = 0b100_100_100,
    /// <summary>0644.</summary>
    ReadWrite = 0b110_100_100,
    /// <summary>0200.</summary>
    WriteOnly = 0b010_000_000,
    /// <summary>0600.</summary>
    OwnerReadWrite = 0b110_000_000,
    /// <summary>0440.</summary>
    GroupReadOnly = 0b100_100_000,
    /// <summary>0222: any write bit.</summary>
    AnyWrite = 0b010_010_010,
}
