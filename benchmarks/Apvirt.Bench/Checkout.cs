namespace Apvirt.Bench;

/// <summary>The checkout that the benchmarks run in.</summary>
internal static class Checkout
{
    /// <summary>Its folder.</summary>
    /// <exception cref="InvalidOperationException">There is none above the benchmarks.</exception>
    internal static string Root
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
                at = at.Parent;
            return at?.FullName ?? throw new InvalidOperationException("the benchmarks run outside a checkout");
        }
    }
}
