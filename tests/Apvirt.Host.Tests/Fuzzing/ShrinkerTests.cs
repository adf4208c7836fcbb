using Apvirt.Host.Checks;

namespace Apvirt.Host.Tests.Fuzzing;

/// <summary>A list that fails is made smaller until nothing can be taken out of it alone.</summary>
public sealed class ShrinkerTests
{
    [Fact]
    public void Only_what_it_needs_to_fail_is_left_in_its_order()
    {
        int[] items = [.. Enumerable.Range(0, 200)];
        IReadOnlyList<int> left = Shrinker.Shrink(items, list => list.Contains(17) && list.Contains(120) && list.Contains(121), triesMax: 10_000);
        Assert.Equal([17, 120, 121], left);
    }

    [Fact]
    public void What_fails_without_anything_is_left_empty() => Assert.Empty(Shrinker.Shrink([1, 2, 3], _ => true, triesMax: 100));

    [Fact]
    public void It_ends_when_its_tries_are_used_up_with_a_list_that_fails()
    {
        int tries = 0;
        IReadOnlyList<int> left = Shrinker.Shrink([.. Enumerable.Range(0, 100)], list => ++tries > 0 && list.Contains(5), triesMax: 7);
        Assert.Equal(7, tries);
        Assert.Contains(5, left);
    }
}
