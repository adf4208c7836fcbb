using Apvirt.Kernel.Runtime;

namespace Apvirt.Kernel.Sharing;

/// <summary>The place of an element in a <see cref="SharedList{T}"/>; only the list touches it.</summary>
/// <typeparam name="T">Type of the elements.</typeparam>
public struct ListLink<T>
    where T : class
{
    internal T? Previous;
    internal T? Next;
    internal bool IsIn;
}

/// <summary>Something that can be in one <see cref="SharedList{T}"/> of its kind.</summary>
/// <typeparam name="T">Its own type.</typeparam>
public interface IListed<T>
    where T : class
{
    /// <summary>Its place in the list.</summary>
    ref ListLink<T> Link { get; }
}

/// <summary>
/// Things in the order in which they came, without a lock of the driver's: each access is atomic on real threads and announces
/// itself. Coming and going costs no search and allocates nothing.
/// </summary>
/// <typeparam name="T">Type of the elements.</typeparam>
/// <param name="owner">The object that has the list.</param>
/// <param name="field">What the list is.</param>
public sealed class SharedList<T>(object owner, SharedField field)
    where T : class, IListed<T>
{
    // Guards the fields below and the links of the elements; a leaf, of which nobody outside knows.
    private readonly Lock _gate = new();
    private T? _first;
    private T? _last;
    private int _count;

    /// <summary>Adds an element at the end; does nothing if it is in the list.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="element">The element.</param>
    public void Add(KernelRuntime runtime, T element)
    {
        Announce(runtime, AccessKind.Write);
        lock (_gate)
        {
            ref ListLink<T> link = ref element.Link;
            if (link.IsIn)
                return;
            link = new ListLink<T> { Previous = _last, IsIn = true };
            if (_last is null)
                _first = element;
            else
                _last.Link.Next = element;
            _last = element;
            _count++;
        }
    }

    /// <summary>Takes an element out; does nothing if it is not in the list.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    /// <param name="element">The element.</param>
    public void Remove(KernelRuntime runtime, T element)
    {
        Announce(runtime, AccessKind.Write);
        lock (_gate)
        {
            ListLink<T> link = element.Link;
            if (!link.IsIn)
                return;
            if (link.Previous is null)
                _first = link.Next;
            else
                link.Previous.Link.Next = link.Next;
            if (link.Next is null)
                _last = link.Previous;
            else
                link.Next.Link.Previous = link.Previous;
            element.Link = default;
            _count--;
        }
    }

    /// <summary>The elements now, oldest first.</summary>
    /// <param name="runtime">The runtime of the owner.</param>
    public T[] ToArray(KernelRuntime runtime)
    {
        Announce(runtime, AccessKind.Read);
        lock (_gate)
        {
            T[] all = new T[_count];
            int i = 0;
            for (T? element = _first; element is not null; element = element.Link.Next)
                all[i++] = element;
            return all;
        }
    }

    private void Announce(KernelRuntime runtime, AccessKind kind)
    {
        if (runtime.IsTold)
            runtime.Accessed(owner, field, part: null, kind);
    }
}
