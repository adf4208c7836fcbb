using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Memory;

/// <summary>The memory of a process, which its containers and address spaces map for devices. What nobody has written is 0.</summary>
/// <param name="name">Name of the process.</param>
/// <param name="bytes">Size; addresses from 0 on.</param>
public sealed class UserMemory(string name, ulong bytes)
{
    private const int PageShift = 12;
    private const int PageBytes = 1 << PageShift;

    private readonly SharedState<Dictionary<ulong, byte[]>> _pages = new(name, VfioFields.UserPages, []);

    /// <summary>Reads.</summary>
    /// <param name="task">The task.</param>
    /// <param name="address">First address.</param>
    /// <param name="into">Where to put the bytes.</param>
    /// <returns>False beyond the end; nothing is read then.</returns>
    public bool TryRead(KernelTask task, ulong address, Span<byte> into)
    {
        if (!Has(address, into.Length))
            return false;
        using SharedState<Dictionary<ulong, byte[]>>.Section section = _pages.Enter(task.Runtime, AccessKind.Read);
        while (!into.IsEmpty)
        {
            int offset = (int)(address & (PageBytes - 1));
            int count = Math.Min(into.Length, PageBytes - offset);
            if (section.Value.TryGetValue(address >> PageShift, out byte[]? page))
                page.AsSpan(offset, count).CopyTo(into);
            else
                into[..count].Clear();
            into = into[count..];
            address += (ulong)count;
        }
        return true;
    }

    /// <summary>Writes.</summary>
    /// <param name="task">The task.</param>
    /// <param name="address">First address.</param>
    /// <param name="data">The bytes.</param>
    /// <returns>False beyond the end; nothing is written then.</returns>
    public bool TryWrite(KernelTask task, ulong address, ReadOnlySpan<byte> data)
    {
        if (!Has(address, data.Length))
            return false;
        using SharedState<Dictionary<ulong, byte[]>>.Section section = _pages.Enter(task.Runtime, AccessKind.Write);
        while (!data.IsEmpty)
        {
            int offset = (int)(address & (PageBytes - 1));
            int count = Math.Min(data.Length, PageBytes - offset);
            if (!section.Value.TryGetValue(address >> PageShift, out byte[]? page))
                section.Value.Add(address >> PageShift, page = new byte[PageBytes]);
            data[..count].CopyTo(page.AsSpan(offset));
            data = data[count..];
            address += (ulong)count;
        }
        return true;
    }

    private bool Has(ulong address, int length) => address <= bytes && (ulong)length <= bytes - address;

    /// <inheritdoc/>
    public override string ToString() => $"memory of {name}";
}
