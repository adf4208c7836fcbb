using Apvirt.Kernel.Locking;

namespace Apvirt.Kernel.Validation;

/// <summary>
/// The chains of locks that have been looked at, as 64-bit keys in an open-addressing table. Looking up takes no lock;
/// adding is for the holder of the validator's gate.
/// </summary>
internal sealed class ChainCache
{
    private const ulong Mixer = 0x9E3779B97F4A7C15;
    private const int FirstCapacity = 256;

    // Replaced whole when it grows. 0 is an empty slot.
    private ulong[] _table = new ulong[FirstCapacity];

    internal int Count { get; private set; }

    /// <summary>The key of a chain that gets one lock more.</summary>
    internal static ulong Extend(ulong key, ulong lockHash, LockMode mode, bool isTry)
    {
        ulong mixed = (key ^ (lockHash + (ulong)mode + (isTry ? 8UL : 0))) * Mixer;
        return mixed ^ (mixed >> 29) | 1;
    }

    internal bool Contains(ulong key)
    {
        ulong[] table = Volatile.Read(ref _table);
        int mask = table.Length - 1;
        for (int at = Slot(key, mask); ; at = (at + 1) & mask)
        {
            ulong found = table[at];
            if (found == key)
                return true;
            if (found == 0)
                return false;
        }
    }

    internal void Add(ulong key)
    {
        if (Contains(key))
            return;
        if (Count * 2 >= _table.Length)
            Grow();
        Put(_table, key);
        Count++;
    }

    private static int Slot(ulong key, int mask) => (int)(key >> 32) & mask;

    private static void Put(ulong[] table, ulong key)
    {
        int mask = table.Length - 1;
        int at = Slot(key, mask);
        while (table[at] != 0)
            at = (at + 1) & mask;
        Volatile.Write(ref table[at], key);
    }

    private void Grow()
    {
        ulong[] bigger = new ulong[_table.Length * 2];
        foreach (ulong key in _table)
        {
            if (key != 0)
                Put(bigger, key);
        }
        Volatile.Write(ref _table, bigger);
    }
}
