using Apvirt.Devices.Sysfs;

namespace Apvirt.Sysfs.Fuse.Serving;

/// <summary>Directories that are open, each with its entries as they were when reading it began.</summary>
internal sealed class ListingTable
{
    // Guards everything here; a leaf.
    private readonly Lock _gate = new();
    private readonly Dictionary<ulong, SysfsEntry[]?> _listings = [];
    private ulong _last;

    /// <summary>Number of open directories.</summary>
    internal int Count
    {
        get
        {
            lock (_gate)
                return _listings.Count;
        }
    }

    internal ulong Open()
    {
        lock (_gate)
        {
            _listings.Add(++_last, null);
            return _last;
        }
    }

    /// <summary>The entries; looked up anew when reading begins at the top.</summary>
    internal SysfsEntry[] Of(ulong number, SysfsDirectory directory, bool isNew)
    {
        lock (_gate)
        {
            if (!isNew && _listings[number] is { } known)
                return known;
        }
        SysfsEntry[] entries = [.. directory.List()];
        lock (_gate)
            _listings[number] = entries;
        return entries;
    }

    internal void Close(ulong number)
    {
        lock (_gate)
            _listings.Remove(number);
    }
}
